/** `/services/{id}/logs` and `/tasks/{id}/logs`: what the tasks said, from whichever nodes they are on. */
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { SystemError } from "../base/errors.ts";
import { newID } from "../base/ids.ts";
import { findService, findTask } from "../cluster/finders.ts";
import type { Task } from "../cluster/objects.ts";
import type { StoreEvent } from "../cluster/store.ts";
import type { LogSubscription, TaskLogMessage } from "../dispatcher/assignment.ts";
import type { ManagerBackend } from "./backend.ts";
import { type Answer, type ApiCall, boolParam, param } from "./call.ts";
import { requireManager } from "./manager.ts";

type LogOptions = Omit<LogSubscription, "id" | "taskIDs">;

const FRAME_HEADER_BYTES = 8;

export function serviceLogs(call: ApiCall): Promise<Answer> {
  const options = readOptions(call.query);
  const manager = requireManager(call.context);
  const snapshot = manager.store.view();
  const service = findService(snapshot, param(call, "id"));
  const tasks = snapshot.tasksOfService(service.id).filter(isPlaced);
  const isTty = service.spec.taskTemplate.containerSpec.tty === true;
  const later = (task: Task) => task.serviceID === service.id && isPlaced(task);
  return new LogStream(call, manager, options, isTty).run(tasks, later);
}

export function taskLogs(call: ApiCall): Promise<Answer> {
  const options = readOptions(call.query);
  const manager = requireManager(call.context);
  const task = findTask(manager.store.view(), param(call, "id"));
  const isTty = task.spec.containerSpec.tty === true;
  return new LogStream(call, manager, options, isTty).run([task], () => false);
}

/** One reader's lines. While it follows a service, tasks that come later are read as well. */
class LogStream {
  readonly #call: ApiCall;
  readonly #manager: ManagerBackend;
  readonly #options: LogOptions;
  readonly #isTty: boolean;
  readonly #seen = new Set<string>();
  /** One line after the other: a frame is never cut by another's. */
  #writing: Promise<void> = Promise.resolve();

  constructor(call: ApiCall, manager: ManagerBackend, options: LogOptions, isTty: boolean) {
    this.#call = call;
    this.#manager = manager;
    this.#options = options;
    this.#isTty = isTty;
  }

  async run(tasks: readonly Task[], later: (task: Task) => boolean): Promise<Answer> {
    const { response, signal } = this.#call;
    response.writeHead(200, { "Content-Type": "application/vnd.docker.raw-stream" });
    response.flushHeaders();
    const unsubscribe = this.#options.follow
      ? this.#manager.store.subscribe((event) => this.#onEvent(event, later))
      : () => {};
    try {
      await this.#read(tasks, this.#options);
      // Who follows a service waits for its next task; nobody but the reader ends that.
      if (this.#options.follow && !signal.aborted) await once(signal, "abort");
    } finally {
      unsubscribe();
    }
    response.end();
    return undefined;
  }

  #onEvent(event: StoreEvent, later: (task: Task) => boolean): void {
    const fresh = event.changes.flatMap((change) =>
      change.kind === "task" && change.action !== "remove" && later(change.object)
        ? [change.object]
        : [],
    );
    // They were not there when the reader asked for the last lines: all that they say is new.
    const { tail: _, ...options } = this.#options;
    this.#read(fresh, options).catch((error: unknown) =>
      this.#call.context.log.warn("a followed log misses the lines of a later task", { error }),
    );
  }

  async #read(tasks: readonly Task[], options: LogOptions): Promise<void> {
    const taskIDs = tasks.map((task) => task.id).filter((id) => !this.#seen.has(id));
    if (taskIDs.length === 0) return;
    for (const id of taskIDs) this.#seen.add(id);
    const subscription = { ...options, id: newID<string>(), taskIDs };
    for await (const message of this.#manager.logs(subscription, this.#call.signal)) {
      this.#writing = this.#writing.then(() => this.#write(message));
      await this.#writing;
    }
  }

  async #write(message: TaskLogMessage): Promise<void> {
    const { response, query } = this.#call;
    if (response.destroyed) return;
    const prefix =
      (boolParam(query, "timestamps") ? `${message.timestamp} ` : "") +
      (boolParam(query, "details") ? `${this.#details(message)} ` : "");
    const line = Buffer.concat([Buffer.from(prefix), message.data]);
    await writeAll(response, this.#isTty ? line : frame(message.stream, line));
  }

  /** The CLI reads from these which task of which node it prints. */
  #details(message: TaskLogMessage): string {
    const task = this.#manager.store.view().get("task", message.taskID);
    const details = [
      ["com.docker.swarm.node.id", message.nodeID],
      ["com.docker.swarm.service.id", task?.serviceID ?? ""],
      ["com.docker.swarm.task.id", message.taskID],
    ] as const;
    return details.map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join(",");
  }
}

/** Docker's framing of two streams in one: stream, three zeros, length, line. */
export function frame(stream: TaskLogMessage["stream"], line: Uint8Array): Buffer {
  const framed = Buffer.alloc(FRAME_HEADER_BYTES + line.length);
  framed[0] = stream === "stdout" ? 1 : 2;
  framed.writeUInt32BE(line.length, 4);
  framed.set(line, FRAME_HEADER_BYTES);
  return framed;
}

/** Waits while the reader is slow, so that the nodes wait too. */
async function writeAll(response: ServerResponse, bytes: Buffer): Promise<void> {
  if (response.write(bytes)) return;
  await new Promise<void>((resolve) => {
    response.once("drain", resolve);
    response.once("close", resolve);
  });
}

function isPlaced(task: Task): boolean {
  return task.nodeID !== undefined;
}

function readOptions(query: URLSearchParams): LogOptions {
  const stdout = boolParam(query, "stdout");
  const stderr = boolParam(query, "stderr");
  if (!stdout && !stderr) {
    throw new SystemError("Bad parameters: you must choose at least one stream");
  }
  const tail = tailParam(query.get("tail") ?? "");
  const since = timeParam(query, "since");
  const until = timeParam(query, "until");
  return {
    stdout,
    stderr,
    follow: boolParam(query, "follow"),
    ...(tail === undefined ? {} : { tail }),
    ...(since === undefined ? {} : { since }),
    ...(until === undefined ? {} : { until }),
  };
}

function tailParam(value: string): number | undefined {
  if (value === "" || value.toLowerCase() === "all") return undefined;
  const tail = Number(value);
  if (/^\d+$/.test(value) && Number.isSafeInteger(tail)) return tail;
  throw new SystemError('tail value must be a positive integer or "all"');
}

/** Seconds since the epoch, with a fraction or without; 0 is as if not given. */
function timeParam(query: URLSearchParams, name: string): string | undefined {
  const value = query.get(name) ?? "";
  if (value === "" || Number(value) === 0) return undefined;
  if (/^\d+(\.\d+)?$/.test(value)) return value;
  throw new SystemError(
    `could not parse ${name} timestamp: strconv.ParseInt: parsing ${JSON.stringify(value)}: invalid syntax`,
  );
}
