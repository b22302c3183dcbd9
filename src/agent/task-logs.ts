/** Lines of this node's tasks for whoever reads `service logs`: what the runtime kept, and what comes. */
import { messageOf, NotFoundError } from "../base/errors.ts";
import type { LogSubscription, TaskLogMessage } from "../dispatcher/assignment.ts";
import type { LogFrame, Runtime } from "../runtime/runtime.ts";
import { merge } from "./merge.ts";
import type { TaskMachine } from "./task-machine.ts";

/** A timestamp ends at the first space; this far into a line none has been. */
const TIMESTAMP_BYTES_MAX = 64;
const SPACE = 0x20;
const EPOCH = "1970-01-01T00:00:00.000000000Z";

export interface TaskLogsComponents {
  readonly nodeID: string;
  readonly runtime: Runtime;
  readonly machine: (taskID: string) => TaskMachine | undefined;
}

export class TaskLogs {
  readonly #components: TaskLogsComponents;

  constructor(components: TaskLogsComponents) {
    this.#components = components;
  }

  read(subscription: LogSubscription, signal: AbortSignal): AsyncIterable<TaskLogMessage> {
    const own = subscription.taskIDs.flatMap((id) => this.#components.machine(id) ?? []);
    return merge(own.map((machine) => this.#readTask(machine, subscription, signal)));
  }

  async *#readTask(
    machine: TaskMachine,
    subscription: LogSubscription,
    signal: AbortSignal,
  ): AsyncIterable<TaskLogMessage> {
    const { nodeID } = this.#components;
    const taskID = machine.task.id;
    let timestamp = EPOCH;
    try {
      for await (const { stream, data } of this.#frames(machine, subscription, signal)) {
        const line = splitTimestamp(data);
        timestamp = line.timestamp ?? timestamp;
        yield { taskID, nodeID, stream, timestamp, data: line.data };
      }
    } catch (error) {
      // A container that goes while it is read has said all it had to say.
      if (signal.aborted || error instanceof NotFoundError) return;
      const data = Buffer.from(`Error grabbing logs: ${messageOf(error)}\n`);
      yield { taskID, nodeID, stream: "stderr", timestamp, data };
    }
  }

  async *#frames(
    machine: TaskMachine,
    subscription: LogSubscription,
    signal: AbortSignal,
  ): AsyncIterable<LogFrame> {
    const containerID = subscription.follow ? await machine.container(signal) : machine.containerID;
    if (containerID === undefined || signal.aborted) return;
    const { id: _id, taskIDs: _taskIDs, ...options } = subscription;
    yield* this.#components.runtime.logs(containerID, { ...options, timestamps: true }, signal);
  }
}

/** A frame begins with its time; what goes on in a further frame of one long line may not. */
export function splitTimestamp(data: Uint8Array): {
  readonly timestamp?: string;
  readonly data: Uint8Array;
} {
  const space = data.indexOf(SPACE);
  if (space <= 0 || space > TIMESTAMP_BYTES_MAX) return { data };
  const timestamp = Buffer.from(data.subarray(0, space)).toString("latin1");
  if (!/^\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)$/.test(timestamp)) return { data };
  return { timestamp, data: data.subarray(space + 1) };
}
