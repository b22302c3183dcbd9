/** Answers the managers' questions for log lines: one stream per question, no faster than it is read. */
import { once } from "node:events";
import { create } from "@bufbuild/protobuf";
import type { ClientWritableStream } from "@grpc/grpc-js";
import { UnavailableError } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import type { SessionHandler, TaskLogMessage } from "../dispatcher/assignment.ts";
import {
  Dispatcher,
  type PublishLogsRequest,
  PublishLogsRequestSchema,
  type SubscribeLogs,
} from "../dispatcher/gen/weft_pb.ts";
import type { RpcClient } from "../dispatcher/rpc.ts";
import { decodeSubscription, encodeLogLine } from "../dispatcher/wire-objects.ts";

/** Questions answered at once; a further one is refused, which its reader is told as an incomplete stream. */
const SUBSCRIPTIONS_MAX = 256;

export interface LogPublisherComponents {
  readonly client: RpcClient;
  readonly handler: SessionHandler;
  readonly log: Logger;
}

/** Lives as long as one session. */
export class LogPublisher {
  readonly #components: LogPublisherComponents;
  readonly #running = new Map<string, AbortController>();

  constructor(components: LogPublisherComponents) {
    this.#components = components;
  }

  subscribe(message: SubscribeLogs): void {
    const id = message.subscriptionId;
    if (this.#running.has(id)) return;
    const controller = new AbortController();
    this.#running.set(id, controller);
    void this.#publish(message, controller);
  }

  unsubscribe(id: string): void {
    this.#running.get(id)?.abort();
  }

  stop(): void {
    for (const controller of this.#running.values()) controller.abort();
  }

  /** Never rejects. */
  async #publish(message: SubscribeLogs, controller: AbortController): Promise<void> {
    const { client, handler, log } = this.#components;
    const { subscriptionId } = message;
    const { signal } = controller;
    const stream = client.writable(Dispatcher.method.publishLogs, (error) => {
      if (error !== undefined) log.debug("lines not read to the end", { error });
      controller.abort();
    });
    // Told by the callback above too; without a listener it would end the process.
    stream.on("error", () => {});
    try {
      // Says whose answer this is, also when there is not a line.
      await write(stream, subscriptionId, [], signal);
      if (this.#running.size > SUBSCRIPTIONS_MAX) throw new UnavailableError("too many readers");
      for await (const line of handler.onLogs(decodeSubscription(message), signal)) {
        await write(stream, subscriptionId, [line], signal);
      }
      stream.end();
    } catch (error) {
      if (!signal.aborted) log.warn("lines not published", { error });
      stream.cancel();
    } finally {
      this.#running.delete(subscriptionId);
    }
  }
}

async function write(
  stream: ClientWritableStream<PublishLogsRequest>,
  subscriptionId: string,
  lines: readonly TaskLogMessage[],
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  const message = create(PublishLogsRequestSchema, {
    subscriptionId,
    lines: lines.map(encodeLogLine),
  });
  if (!stream.write(message)) await once(stream, "drain", { signal });
}
