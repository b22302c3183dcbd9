/**
 * The Engine's own resolver in a container's namespace, asked for all that is not the cluster's: it knows the
 * container's other networks, the user's `--dns` and the host's resolvers, search and ndots as users know them.
 */
import type { Socket as DatagramSocket } from "node:dgram";
import type { Socket } from "node:net";
import type { Clock, Timer } from "../../base/clock.ts";
import { UnavailableError } from "../../base/errors.ts";
import { type Random, randomBelow } from "../../base/random.ts";
import { messagesOf, withLength } from "./framing.ts";
import type { Transport, Upstream } from "./responder.ts";

/** Queries of one container that wait for an answer; at the bound the next is answered SERVFAIL at once. */
export const PENDING_MAX = 256;
/** The Engine gives each of its three servers four seconds; most clients have given up by then. */
const PATIENCE_MS = 10_000;
const SWEEP_MS = 1_000;
const ID_BYTES = 2;

/** Sockets that reach the Engine's resolver and nobody else. */
export interface UpstreamSockets {
  /** Connected. */
  datagrams(): Promise<DatagramSocket>;
  stream(): Socket;
}

export interface EngineUpstreamComponents {
  readonly sockets: UpstreamSockets;
  readonly clock: Clock;
  readonly random: Random;
}

interface Pending {
  /** The asker's own id. */
  readonly id: number;
  readonly deadline: number;
  readonly answer: PromiseWithResolvers<Buffer>;
}

export class EngineUpstream implements Upstream {
  readonly #components: EngineUpstreamComponents;
  /** By the id that it was passed on with. */
  readonly #pending = new Map<number, Pending>();
  #datagrams: Promise<DatagramSocket> | undefined;
  #streams = new Set<Socket>();
  #sweep: Timer | undefined;
  #closed = false;

  constructor(components: EngineUpstreamComponents) {
    this.#components = components;
  }

  async exchange(query: Buffer, transport: Transport): Promise<Buffer> {
    if (this.#closed || this.#pending.size + this.#streams.size >= PENDING_MAX) {
      throw new UnavailableError("too many names are being looked up");
    }
    return transport === "udp" ? await this.#ask(query) : await this.#askByStream(query);
  }

  close(): void {
    this.#closed = true;
    this.#sweep?.cancel();
    this.#datagrams?.then((socket) => socket.close()).catch(() => {});
    for (const stream of this.#streams) stream.destroy();
    this.#failAll("the container has gone");
  }

  async #ask(query: Buffer): Promise<Buffer> {
    const { clock } = this.#components;
    const answer = Promise.withResolvers<Buffer>();
    const passedAs = this.#freeID();
    const deadline = clock.monotonic() + PATIENCE_MS;
    this.#pending.set(passedAs, { id: query.readUInt16BE(0), deadline, answer });
    this.#sweep ??= this.#nextSweep();
    this.#datagrams ??= this.#open();
    this.#datagrams
      .then((socket) => socket.send(withID(query, passedAs)))
      .catch((cause: unknown) => {
        this.#datagrams = undefined;
        this.#pending.delete(passedAs);
        answer.reject(new UnavailableError("the Engine's resolver cannot be asked", { cause }));
      });
    return answer.promise;
  }

  async #open(): Promise<DatagramSocket> {
    const socket = await this.#components.sockets.datagrams();
    if (this.#closed) socket.close();
    socket.on("message", (data) => {
      const passedAs = data.length < ID_BYTES ? undefined : data.readUInt16BE(0);
      const pending = passedAs === undefined ? undefined : this.#pending.get(passedAs);
      if (passedAs === undefined || pending === undefined) return;
      this.#pending.delete(passedAs);
      pending.answer.resolve(withID(data, pending.id));
    });
    // Refused: the Engine is not there.
    socket.on("error", () => this.#failAll("the Engine's resolver does not answer"));
    return socket;
  }

  async #askByStream(query: Buffer): Promise<Buffer> {
    const stream = this.#components.sockets.stream();
    this.#streams.add(stream);
    stream.on("error", () => {});
    stream.setTimeout(PATIENCE_MS, () => stream.destroy());
    try {
      stream.write(withLength(query));
      for await (const answer of messagesOf(stream)) return answer;
      throw new UnavailableError("the Engine's resolver gave no answer");
    } finally {
      stream.destroy();
      this.#streams.delete(stream);
    }
  }

  #freeID(): number {
    for (;;) {
      const id = randomBelow(this.#components.random, 0x1_00_00);
      if (!this.#pending.has(id)) return id;
    }
  }

  #nextSweep(): Timer {
    const { clock } = this.#components;
    return clock.timer("keeper.dns.sweep", SWEEP_MS, () => {
      for (const [passedAs, { deadline, answer }] of this.#pending) {
        if (deadline > clock.monotonic()) break;
        this.#pending.delete(passedAs);
        answer.reject(new UnavailableError("the Engine's resolver is slow"));
      }
      this.#sweep = this.#pending.size === 0 ? undefined : this.#nextSweep();
    });
  }

  #failAll(why: string): void {
    for (const { answer } of this.#pending.values()) answer.reject(new UnavailableError(why));
    this.#pending.clear();
  }
}

function withID(message: Buffer, id: number): Buffer {
  const copy = Buffer.from(message);
  copy.writeUInt16BE(id, 0);
  return copy;
}
