/** Answers queries on one UDP socket and one TCP listener, whoever bound them. */

import type { Socket as DatagramSocket } from "node:dgram";
import type { Server, Socket } from "node:net";
import { isOfIPv6 } from "../../base/ip-address.ts";
import { messagesOf, withLength } from "./framing.ts";
import type { Responder } from "./responder.ts";

/** Of one listener; at the bound the next client is cut off and may come again. */
export const STREAM_CLIENTS_MAX = 64;
/** A TCP client that asks nothing for so long is cut off. */
const STREAM_IDLE_MS = 10_000;

/**
 * For sockets that answer whom they have heard: an address is its own. Node's way to find that out, for each datagram
 * anew, would take a turn of the event loop.
 */
export const answeringLookup = (
  address: string,
  _options: unknown,
  callback: (error: null, address: string, family: number) => void,
): void => callback(null, address, isOfIPv6(address) ? 6 : 4);

export interface DnsServerComponents {
  readonly responder: Responder;
  readonly datagrams: DatagramSocket;
  readonly streams: Server;
}

export class DnsServer {
  readonly #components: DnsServerComponents;
  readonly #clients = new Set<Socket>();
  #closed = false;

  constructor(components: DnsServerComponents) {
    this.#components = components;
    const { datagrams, streams } = components;
    datagrams.on("message", (data, from) => {
      const answer = components.responder.respond(data, "udp");
      if (answer === undefined) return;
      const send = (bytes: Buffer | undefined) => {
        if (bytes !== undefined && !this.#closed) datagrams.send(bytes, from.port, from.address);
      };
      if (answer instanceof Promise) void answer.then(send);
      else send(answer);
    });
    // An asker that has gone, or a full buffer: it asks again.
    datagrams.on("error", () => {});
    streams.on("connection", (client) => this.#serve(client));
    streams.on("error", () => {});
  }

  /** Lets go of both sockets; what is still being answered is not. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const { datagrams, streams } = this.#components;
    for (const client of this.#clients) client.destroy();
    await Promise.all([
      new Promise<void>((resolve) => datagrams.close(() => resolve())),
      new Promise<void>((resolve) => streams.close(() => resolve())),
    ]);
  }

  #serve(client: Socket): void {
    if (this.#clients.size >= STREAM_CLIENTS_MAX) {
      client.destroy();
      return;
    }
    this.#clients.add(client);
    client.on("close", () => this.#clients.delete(client));
    client.on("error", () => client.destroy());
    client.setTimeout(STREAM_IDLE_MS, () => client.destroy());
    void this.#answerAll(client).catch(() => client.destroy());
  }

  /**
   * What is ours at once, what others are asked for when they have answered: in between the client may ask on. One that
   * does not read its answers is asked for no more.
   */
  async #answerAll(client: Socket): Promise<void> {
    const waiting = new Set<Promise<void>>();
    for await (const data of messagesOf(client)) {
      const answer = this.#components.responder.respond(data, "tcp");
      if (answer === undefined) break;
      if (answer instanceof Promise) {
        const written = answer.then((bytes) => send(client, bytes));
        waiting.add(written);
        void written.finally(() => waiting.delete(written));
      } else {
        send(client, answer);
      }
      if (client.writableNeedDrain) {
        await new Promise((resolve) => client.once("drain", resolve).once("close", resolve));
      }
    }
    await Promise.all(waiting);
    client.end();
  }
}

function send(client: Socket, answer: Buffer | undefined): void {
  if (answer !== undefined && !client.destroyed) client.write(withLength(answer));
}
