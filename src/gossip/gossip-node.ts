/**
 * A member for real: feeds what arrives and the clock's ticks to the pure core and performs what the
 * core wants done. It adds what the core leaves out: sealing, streams, counters, and the
 * application's own state, which rides on the exchanges.
 */
import { EventEmitter } from "node:events";
import type { Duplex } from "node:stream";
import { unreachable } from "../base/assert.ts";
import type { Clock, Timer } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import type { Startable } from "../base/lifecycle.ts";
import type { Logger } from "../base/logger.ts";
import type { Random } from "../base/random.ts";
import { type Address, addressText, sameAddress } from "./address.ts";
import { type Ailment, Ailments } from "./ailments.ts";
import { InboundStreams } from "./inbound-streams.ts";
import { type Keyring, SealError } from "./keyring.ts";
import { encodeMessage, type Message, type PushPull } from "./messages.ts";
import { DecodeError } from "./msgpack.ts";
import { decodePacket, encodePacket } from "./packet.ts";
import { encodeStream, StreamDecoder, type StreamMessage } from "./stream.ts";
import { step } from "./swim.ts";
import {
  initialState,
  isLive,
  type Member,
  type MemberChange,
  nextDeadline,
  type StatePush,
  type SwimEffect,
  type SwimEvent,
  type SwimState,
} from "./swim-state.ts";
import { TIMINGS, type Timings } from "./timings.ts";
import type { Transport } from "./transport.ts";

export interface GossipNodeComponents {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

export interface GossipNodeInit {
  readonly node: string;
  /** What others reach it by, when that is not what the transport is bound to. */
  readonly advertise?: Address;
  /** Where it was reached before. */
  readonly formerly?: readonly Address[];
  readonly meta?: Buffer;
  readonly timings?: Timings;
  /** Without it everything is said and heard in the clear. */
  readonly keyring?: Keyring;
  readonly application?: GossipApplication;
}

/** Who lets its news ride on the gossip. Whatever comes from the network is checked by it. */
export interface GossipApplication {
  /** One piece of news, as it was broadcast somewhere; passing it on is the application's choice. */
  onNews(payload: Buffer): void;
  /** All it knows, for an exchange. */
  state(): Buffer;
  /** All that another knows. */
  onState(state: Buffer): void;
  /** What a member has said that it knows, with its answer to a ping. */
  onDigest?(node: string, digest: Buffer): void;
}

/** What was refused or went wrong, for diagnosis; only ever counts up. */
export interface GossipCounters {
  packetsIn: number;
  packetsOut: number;
  bytesOut: number;
  /** Not what a member would say: cut off, corrupt, or not gossip at all. */
  undecodable: number;
  /** Sealed with a key that is not installed, or not sealed at all. */
  unsealed: number;
  exchanges: number;
  exchangesFailed: number;
}

/** Of one that has not begun. */
export const NO_COUNTS: Readonly<GossipCounters> = {
  packetsIn: 0,
  packetsOut: 0,
  bytesOut: 0,
  undecodable: 0,
  unsealed: 0,
  exchanges: 0,
  exchangesFailed: 0,
};

interface GossipEvents {
  change: [change: MemberChange, member: Member];
}

/** A connection that has not said and heard all by then is given up. */
const STREAM_TIMEOUT_MS = 5_000;
/** The same trouble from the same place is logged once in this time. */
const REPEAT_LOG_MS = 60_000;
/** Troubles logged in that time; at the bound no more are: senders' addresses may be made up. */
const TROUBLES_MAX = 256;

export class GossipNode extends EventEmitter<GossipEvents> implements Startable {
  readonly #transport: Transport;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #log: Logger;
  readonly #init: GossipNodeInit;
  readonly #application: GossipApplication | undefined;
  readonly #stopping = new AbortController();
  readonly #inbound = new InboundStreams();
  readonly #ailments = new Ailments();
  readonly #troubles = new Map<string, number>();
  readonly counters: GossipCounters = { ...NO_COUNTS };
  #state: SwimState | undefined;
  #places: ReadonlyMap<string, Address> = new Map();
  #timer: Timer | undefined;
  #onLeft: (() => void) | undefined;

  constructor(components: GossipNodeComponents, init: GossipNodeInit) {
    super();
    this.#transport = components.transport;
    this.#clock = components.clock;
    this.#random = components.random;
    this.#log = components.log.child("gossip");
    this.#init = init;
    this.#application = init.application;
  }

  /** Where others reach it. */
  get address(): Address {
    return this.#init.advertise ?? this.#transport.address;
  }

  get keyring(): Keyring | undefined {
    return this.#init.keyring;
  }

  /** Everybody that is known, this node included; empty before `start`. */
  members(): readonly Member[] {
    return this.#state === undefined ? [] : [...this.#state.members.values()];
  }

  member(node: string): Member | undefined {
    return this.#state?.members.get(node);
  }

  /** What is wrong between this member and others, now. */
  ailments(): readonly Ailment[] {
    // One that is doubted for a moment has what it had: only its death ends that.
    const isThere = (host: string) => this.#isAt(host, isLive);
    return this.#ailments.list(this.#clock.monotonic(), isThere);
  }

  async start(): Promise<void> {
    await this.#transport.start({
      onPacket: (from, bytes) => this.#onPacket(from, bytes),
      onStream: (from, stream) => this.#onStream(from, stream),
      onError: (error) => this.#trouble("the gossip's socket has failed", "", error),
    });
    const { node, meta = Buffer.alloc(0), timings = TIMINGS.lan, formerly = [] } = this.#init;
    const init = { node, meta, timings, formerly, address: this.address };
    this.#state = initialState(init, this.#clock.monotonic(), this.#random);
    this.#setTimer();
  }

  /** Without a word: the others will find it dead. `leave` first is the polite way. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#timer?.cancel();
    this.#onLeft?.();
    await this.#transport.stop();
  }

  /** Meets the cluster through any of these; they are remembered and tried again while nobody lives there. */
  join(seeds: readonly Address[]): void {
    const here = addressText(this.address);
    const others = seeds.filter((seed) => addressText(seed) !== here);
    this.#step({ kind: "join", seeds: others });
  }

  /**
   * Where somebody who must know says that the others are: who is known and has moved is looked for there,
   * and as long as nobody is known some of them are asked.
   */
  meet(places: ReadonlyMap<string, Address>): void {
    let isNews = false;
    for (const [node, address] of places) {
      const before = this.#places.get(node);
      if (before !== undefined && sameAddress(before, address)) continue;
      isNews = true;
      if (before !== undefined) this.#step({ kind: "moved", node, address });
    }
    this.#places = places;
    if (isNews) this.#step({ kind: "seeds", seeds: [...places.values()] });
  }

  /** What others are told with each answer to their pings. */
  setDigest(digest: Buffer): void {
    this.#step({ kind: "digest", digest });
  }

  /** Exchanges everything with this member. */
  exchange(node: string): void {
    this.#step({ kind: "exchange", node });
  }

  /** Tells all that it leaves; resolves when they have been told, or after the bound of the timings. */
  async leave(): Promise<void> {
    if (this.#state?.phase !== "member") return;
    await new Promise<void>((resolve) => {
      this.#onLeft = resolve;
      this.#step({ kind: "leave" });
    });
  }

  /** What this node says about itself, told to all. */
  describe(meta: Buffer): void {
    this.#step({ kind: "describe", meta });
  }

  /** News for all; newer news of the same key replaces what has not been told yet. */
  broadcast(key: string, payload: Buffer): void {
    this.#step({ kind: "broadcast", key, payload });
  }

  #isAlive(host: string): boolean {
    return this.#isAt(host, ({ state }) => state === "alive");
  }

  /** Whether a member of this kind is at this address. */
  #isAt(host: string, isSuch: (member: Member) => boolean): boolean {
    for (const member of this.#state?.members.values() ?? []) {
      if (member.address.host === host && isSuch(member)) return true;
    }
    return false;
  }

  #step(event: SwimEvent): void {
    if (this.#state === undefined || this.#stopping.signal.aborted) return;
    const result = step(this.#state, event, this.#clock.monotonic(), this.#random);
    this.#state = result.state;
    for (const effect of result.effects) this.#perform(effect);
    this.#setTimer();
  }

  #setTimer(): void {
    this.#timer?.cancel();
    if (this.#state === undefined || this.#stopping.signal.aborted) return;
    const now = this.#clock.monotonic();
    const at = nextDeadline(this.#state, now);
    if (at === Number.POSITIVE_INFINITY) return;
    this.#timer = this.#clock.timer("gossip", Math.max(0, Math.ceil(at - now)), () =>
      this.#step({ kind: "tick" }),
    );
  }

  #perform(effect: SwimEffect): void {
    switch (effect.kind) {
      case "packet":
        return this.#sendPacket(effect.to, effect.messages, effect.crc);
      case "pushPull":
        void this.#exchange(effect.to, effect.push);
        return;
      case "streamPing":
        void this.#streamPing(effect.to, effect.sequence, effect.node);
        return;
      case "reply":
        return this.#reply(effect.stream, effect.message);
      case "change": {
        const { change, member } = effect;
        const fields = { node: member.node, address: addressText(member.address) };
        // Doubt comes and goes on a busy host; what it ends in is what counts.
        if (change === "suspected" || change === "recovered")
          this.#log.debug(`member ${change}`, fields);
        else this.#log.info(`member ${change}`, fields);
        if (change !== "suspected" && change !== "recovered") {
          this.#ailments.forget(member.address.host);
        }
        this.emit("change", change, member);
        return;
      }
      case "user":
        return this.#application?.onNews(effect.payload);
      case "digest":
        return this.#application?.onDigest?.(effect.node, effect.digest);
      case "conflict": {
        const { member, other } = effect;
        return this.#ailments.noteConflict(member.node, other.host, this.#clock.monotonic());
      }
      case "refused":
        return this.#trouble("there is no room for another member", effect.node);
      case "left":
        return this.#onLeft?.();
      default:
        return unreachable(effect);
    }
  }

  #sendPacket(to: Address, messages: readonly Message[], crc: boolean): void {
    const bytes = encodePacket(messages.map(encodeMessage), { keyring: this.keyring, crc });
    this.counters.packetsOut++;
    this.counters.bytesOut += bytes.length;
    this.#transport.send(to, bytes);
  }

  #onPacket(from: Address, bytes: Buffer): void {
    this.counters.packetsIn++;
    try {
      const { messages, faults } = decodePacket(bytes, this.keyring);
      this.#ailments.notePacket(from.host);
      for (const fault of faults) this.#undecodable(from, fault);
      this.#step({ kind: "packet", from, messages });
    } catch (error) {
      this.#undecodable(from, error);
    }
  }

  /** What is not a member's word is dropped and counted; anything else is a fault of this program. */
  #undecodable(from: Address, error: unknown): void {
    if (!(error instanceof DecodeError)) throw error;
    if (error instanceof SealError) {
      this.counters.unsealed++;
      this.#ailments.noteUnsealed(from.host, this.#clock.monotonic());
    } else this.counters.undecodable++;
    this.#trouble("gossip that cannot be read was dropped", from.host, error);
  }

  // --- streams -------------------------------------------------------------

  #onStream(from: Address, stream: Duplex): void {
    const id = this.#inbound.add(from.host, stream);
    if (id === undefined) return;
    const deadline = this.#clock.timer("gossip stream", STREAM_TIMEOUT_MS, () => stream.destroy());
    stream.on("close", () => deadline.cancel());
    this.#receive(stream, (bytes) => this.#inbound.hold(id, bytes))
      .then((message) => this.#serve(id, from, message))
      .catch((error: unknown) => {
        stream.destroy();
        if (error instanceof DecodeError) this.#undecodable(from, error);
      });
  }

  #serve(stream: number, from: Address, message: StreamMessage): void {
    if (message.kind === "ping") {
      this.#step({ kind: "streamPing", stream, sequence: message.sequence, node: message.node });
    } else if (message.kind === "pushPull") {
      this.#application?.onState(message.user);
      this.#step({ kind: "pushPull", stream, from, members: message.members });
    } else this.#inbound.get(stream)?.destroy();
  }

  #reply(stream: number, message: StatePush | Message): void {
    const encoded = encodeStream(this.#withUserState(message), this.keyring);
    this.#inbound.get(stream)?.end(encoded);
  }

  async #exchange(to: Address, push: StatePush): Promise<void> {
    try {
      const answer = await this.#ask(to, this.#withUserState(push));
      if (answer.kind === "error") throw new DecodeError(`it answers: ${answer.text}`);
      if (answer.kind !== "pushPull") throw new DecodeError(`it answers with ${answer.kind}`);
      this.counters.exchanges++;
      this.#ailments.noteExchange(to.host, true);
      this.#application?.onState(answer.user);
      this.#step({ kind: "pushPull", from: to, members: answer.members });
    } catch (error) {
      if (this.#stopping.signal.aborted) return;
      this.counters.exchangesFailed++;
      // Who is not known, or dead, is tried again and again: that it is not there is no news.
      if (!this.#isAlive(to.host)) {
        this.#log.debug("an exchange of gossip has failed", { place: addressText(to), error });
        return;
      }
      this.#ailments.noteExchange(to.host, false);
      this.#trouble("an exchange of gossip has failed", addressText(to), error);
    }
  }

  async #streamPing(to: Address, sequence: number, node: string): Promise<void> {
    try {
      const answer = await this.#ask(to, { kind: "ping", sequence, node });
      if (answer.kind !== "ack" || answer.sequence !== sequence) return;
      this.#answeredByStream(to, sequence);
      this.#step({ kind: "streamAck", sequence });
    } catch {
      // No answer: that is what the probe wanted to know.
    }
  }

  /** A blocked port of UDP shows as a member that is reached over TCP alone. */
  #answeredByStream(from: Address, sequence: number): void {
    if (this.#state?.probe?.sequence !== sequence) return; // the packet was only late
    this.#ailments.noteStreamAnswer(from.host);
  }

  /** One question and its answer over a connection of its own. */
  async #ask(to: Address, message: StreamMessage): Promise<StreamMessage> {
    const expired = new AbortController();
    const deadline = this.#clock.timer("gossip ask", STREAM_TIMEOUT_MS, () => expired.abort());
    const signal = AbortSignal.any([expired.signal, this.#stopping.signal]);
    let stream: Duplex | undefined;
    try {
      stream = await this.#transport.dial(to, signal);
      const open = stream;
      signal.addEventListener("abort", () => open.destroy(), { once: true });
      stream.write(encodeStream(message, this.keyring));
      return await this.#receive(stream);
    } finally {
      deadline.cancel();
      stream?.destroy();
    }
  }

  /** `onPart` is told how many bytes more have come of a message that is not whole. */
  #receive(stream: Duplex, onPart?: (bytes: number) => void): Promise<StreamMessage> {
    const decoder = new StreamDecoder(this.keyring);
    return new Promise((resolve, reject) => {
      stream.on("data", (chunk: Buffer) => {
        try {
          const message = decoder.push(chunk);
          if (message === undefined) return onPart?.(chunk.length);
          stream.removeAllListeners("data");
          resolve(message);
        } catch (error) {
          reject(error as Error);
        }
      });
      stream.on("end", () => reject(new DecodeError("the connection ended within a message")));
      stream.on("close", () => reject(new DecodeError("the connection was closed")));
      stream.on("error", reject);
    });
  }

  #withUserState(message: StatePush | Message): PushPull | Message {
    if (message.kind !== "pushPull") return message;
    return { ...message, user: this.#application?.state() ?? Buffer.alloc(0) };
  }

  /** Logs it, unless the same was logged of the same place a short while ago. */
  #trouble(message: string, place: string, error?: unknown): void {
    const key = `${message} ${place}`;
    const now = this.#clock.monotonic();
    if (now - (this.#troubles.get(key) ?? Number.NEGATIVE_INFINITY) < REPEAT_LOG_MS) return;
    for (const [known, at] of this.#troubles) {
      if (this.#troubles.size < TROUBLES_MAX || now - at < REPEAT_LOG_MS) break;
      this.#troubles.delete(known);
    }
    if (this.#troubles.size >= TROUBLES_MAX) return;
    this.#troubles.delete(key);
    this.#troubles.set(key, now);
    const reason = error === undefined ? {} : { reason: messageOf(error) };
    this.#log.warn(message, { ...(place !== "" && { place }), ...reason });
  }
}
