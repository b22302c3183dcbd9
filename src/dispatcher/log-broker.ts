/**
 * Brings the lines of tasks from whichever nodes run them to whoever reads: asks the nodes' sessions, and
 * takes what the nodes publish. Nothing is kept: a reader that is slow slows the nodes down.
 */
import { ForbiddenError, NotFoundError, UnavailableError } from "../base/errors.ts";
import { newID } from "../base/ids.ts";
import type { Snapshot, Store } from "../cluster/store.ts";
import type { LogSubscription, TaskLogMessage } from "./assignment.ts";
import type { PublishLogsRequest } from "./gen/weft_pb.ts";
import type { NodeSession } from "./session.ts";
import { decodeLogLine } from "./wire-objects.ts";

/** Bytes of lines that wait for one reader; at the bound the nodes' streams are not read further. */
const BUFFER_BYTES_MAX = 1_048_576;

/** What was asked of one node for one reader. */
interface NodeStream {
  readonly id: string;
  readonly nodeID: string;
  readonly taskIDs: ReadonlySet<string>;
  readonly reader: Reader;
}

export interface LogBrokerComponents {
  readonly store: Store;
  readonly sessionOf: (nodeID: string) => NodeSession | undefined;
}

export class LogBroker {
  readonly #store: Store;
  readonly #sessionOf: (nodeID: string) => NodeSession | undefined;
  readonly #streams = new Map<string, NodeStream>();

  constructor(components: LogBrokerComponents) {
    this.#store = components.store;
    this.#sessionOf = components.sessionOf;
  }

  /**
   * Lines as they come. Not followed, it ends when every node has said all; a node that could not be asked,
   * or went away, is named at the end, by an error in Docker's words.
   */
  async *logs(subscription: LogSubscription, signal: AbortSignal): AsyncIterable<TaskLogMessage> {
    const reader = new Reader(subscription);
    const unsubscribe = this.#store.subscribe(() => {
      if (subscription.follow) this.#askNodes(reader);
    });
    const onAbort = () => reader.end();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      if (signal.aborted) return;
      this.#askNodes(reader);
      this.#endWhenDone(reader);
      yield* reader.lines();
      if (!signal.aborted) reader.throwIfIncomplete();
    } finally {
      unsubscribe();
      signal.removeEventListener("abort", onAbort);
      reader.end();
      this.#dropStreams(reader);
    }
  }

  /** One node's answer to one question; resolves when it is all taken, rejects when nobody reads it any more. */
  async publish(nodeID: string, requests: AsyncIterable<PublishLogsRequest>): Promise<void> {
    let stream: NodeStream | undefined;
    try {
      for await (const request of requests) {
        stream = this.#streams.get(request.subscriptionId);
        if (stream === undefined) throw new NotFoundError("nobody reads these lines");
        if (stream.nodeID !== nodeID) throw new ForbiddenError("these lines were not asked of you");
        const { taskIDs, reader } = stream;
        const own = request.lines.filter(({ taskId }) => taskIDs.has(taskId));
        await reader.push(own.map((line) => decodeLogLine(line, nodeID)));
      }
      if (stream !== undefined) this.#finish(stream);
    } catch (error) {
      if (stream?.nodeID === nodeID) this.#fail(stream);
      throw error;
    }
  }

  /** The node's session is gone: what it has not said it will not say. */
  sessionClosed(nodeID: string): void {
    for (const stream of [...this.#streams.values()]) {
      if (stream.nodeID === nodeID) this.#fail(stream);
    }
  }

  #askNodes(reader: Reader): void {
    for (const [nodeID, taskIDs] of unaskedTasks(this.#store.view(), reader)) {
      for (const taskID of taskIDs) reader.asked.add(taskID);
      const session = this.#sessionOf(nodeID);
      if (session === undefined) {
        reader.missing.set(nodeID, `node ${nodeID} is not available`);
        continue;
      }
      const stream: NodeStream = { id: newID(), nodeID, taskIDs: new Set(taskIDs), reader };
      this.#streams.set(stream.id, stream);
      session.subscribeLogs({ ...reader.subscription, id: stream.id, taskIDs });
    }
  }

  #finish(stream: NodeStream): void {
    this.#streams.delete(stream.id);
    this.#endWhenDone(stream.reader);
  }

  #fail(stream: NodeStream): void {
    const { nodeID, reader } = stream;
    if (!this.#streams.has(stream.id)) return;
    reader.missing.set(nodeID, `node ${nodeID} disconnected unexpectedly`);
    this.#finish(stream);
  }

  #endWhenDone(reader: Reader): void {
    const isWaiting = [...this.#streams.values()].some((stream) => stream.reader === reader);
    if (!isWaiting && !reader.subscription.follow) reader.end();
  }

  #dropStreams(reader: Reader): void {
    for (const stream of [...this.#streams.values()]) {
      if (stream.reader !== reader) continue;
      this.#streams.delete(stream.id);
      this.#sessionOf(stream.nodeID)?.unsubscribeLogs(stream.id);
    }
  }
}

/** The reader's tasks that a node has been given and that nobody has been asked for yet, by node. */
function unaskedTasks(snapshot: Snapshot, reader: Reader): ReadonlyMap<string, string[]> {
  const tasks = reader.subscription.taskIDs
    .filter((taskID) => !reader.asked.has(taskID))
    .flatMap((taskID) => snapshot.get("task", taskID) ?? []);
  const byNode = new Map<string, string[]>();
  for (const task of tasks) {
    if (task.nodeID === undefined) continue;
    byNode.set(task.nodeID, [...(byNode.get(task.nodeID) ?? []), task.id]);
  }
  return byNode;
}

/** A queue of lines with a bound in bytes and one consumer. */
class Reader {
  readonly subscription: LogSubscription;
  readonly asked = new Set<string>();
  /** By node, why its lines are not all here. */
  readonly missing = new Map<string, string>();
  #queue: TaskLogMessage[] = [];
  #bytes = 0;
  #ended = false;
  /** Resolved and made anew whenever something changed: lines came, room came, the end came. */
  #changed = Promise.withResolvers<void>();

  constructor(subscription: LogSubscription) {
    this.subscription = subscription;
  }

  /** Resolves when there is room for more. */
  async push(lines: readonly TaskLogMessage[]): Promise<void> {
    this.#queue.push(...lines);
    for (const { data } of lines) this.#bytes += data.length;
    this.#signal();
    while (this.#bytes > BUFFER_BYTES_MAX && !this.#ended) await this.#changed.promise;
  }

  end(): void {
    this.#ended = true;
    this.#signal();
  }

  async *lines(): AsyncIterable<TaskLogMessage> {
    for (;;) {
      const batch = this.#queue;
      this.#queue = [];
      this.#bytes = 0;
      this.#signal();
      yield* batch;
      if (this.#queue.length > 0) continue;
      if (this.#ended) return;
      await this.#changed.promise;
    }
  }

  throwIfIncomplete(): void {
    if (this.missing.size === 0) return;
    const reasons = [...this.missing.values()].join(", ");
    throw new UnavailableError(
      "warning: incomplete log stream. some logs could not be retrieved for the following " +
        `reasons: ${reasons}`,
    );
  }

  #signal(): void {
    const { resolve } = this.#changed;
    this.#changed = Promise.withResolvers<void>();
    resolve();
  }
}
