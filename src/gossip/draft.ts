/**
 * A state while one step changes it: what the step does not touch is shared with the state before,
 * what it touches is copied once. Steps write only through a draft, so a state never changes.
 */
import { type Random, randomBelow } from "../base/random.ts";
import type { Address } from "./address.ts";
import { enqueue, takeBroadcasts, transmitsMax } from "./broadcast-queue.ts";
import { CRC_PROTOCOL_MIN, encodeMessage, type Message } from "./messages.ts";
import { COMPOUND_ENTRY_BYTES, COMPOUND_MESSAGES_MAX, MESSAGES_BYTES_MAX } from "./packet.ts";
import type { Suspicion } from "./suspicion.ts";
import {
  isLive,
  type Member,
  type MemberChange,
  type SwimEffect,
  type SwimState,
} from "./swim-state.ts";

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export class Draft {
  readonly state: Mutable<SwimState>;
  readonly now: number;
  readonly random: Random;
  readonly effects: SwimEffect[] = [];
  #ownsMembers = false;

  constructor(state: SwimState, now: number, random: Random) {
    this.state = { ...state };
    this.now = now;
    this.random = random;
  }

  get self(): Member {
    return this.state.members.get(this.state.self) as Member;
  }

  put(member: Member): void {
    this.#ownMembers().set(member.node, member);
  }

  /** A member that was not known: it is probed from now on, at a random place of the order. */
  add(member: Member): void {
    this.put(member);
    const { ring } = this.state;
    const at = randomBelow(this.random, ring.length + 1);
    this.state.ring = ring.toSpliced(at, 0, member.node);
    if (at < this.state.ringAt) this.state.ringAt++;
    if (at < this.state.gossipRingAt) this.state.gossipRingAt++;
  }

  remove(node: string): void {
    this.#ownMembers().delete(node);
    this.state.ring = this.state.ring.filter((each) => each !== node);
    this.suspect(node, undefined);
  }

  suspect(node: string, suspicion: Suspicion | undefined): void {
    if (suspicion === undefined && !this.state.suspicions.has(node)) return;
    const suspicions = new Map(this.state.suspicions);
    if (suspicion === undefined) suspicions.delete(node);
    else suspicions.set(node, suspicion);
    this.state.suspicions = suspicions;
  }

  changed(change: MemberChange, member: Member): void {
    this.effects.push({ kind: "change", change, member });
  }

  nextSequence(): number {
    this.state.sequence = (this.state.sequence + 1) >>> 0;
    return this.state.sequence;
  }

  /** Lifeguard's local health: 0 is well. */
  addAwareness(by: number): void {
    const worst = this.state.timings.awarenessMax - 1;
    this.state.awareness = Math.min(worst, Math.max(0, this.state.awareness + by));
  }

  broadcast(key: string, message: Message): void {
    this.state.queue = enqueue(this.state.queue, key, message);
  }

  /** One packet of these messages, filled up with news. */
  send(to: Address | Member, ...messages: Message[]): void {
    let left = MESSAGES_BYTES_MAX;
    for (const message of messages) left -= encodeMessage(message).length + COMPOUND_ENTRY_BYTES;
    const { queue, timings, members } = this.state;
    const limit = transmitsMax(timings.retransmitFactor, members.size);
    const taken = takeBroadcasts(queue, left, COMPOUND_MESSAGES_MAX - messages.length, limit);
    this.state.queue = taken.queue;
    const all = [...messages, ...taken.messages];
    if (all.length === 0) return;
    const member = "node" in to ? to : undefined;
    const crc = (member?.versions[1] ?? 0) >= CRC_PROTOCOL_MIN;
    const address = "node" in to ? to.address : to;
    this.effects.push({ kind: "packet", to: address, crc, messages: all });
  }

  /** Up to `count` different others that pass, by chance. */
  pick(count: number, passes: (member: Member) => boolean): Member[] {
    const { ring, members } = this.state;
    const picked = new Map<string, Member>();
    // A large cluster is tried at random, so that picking three of 5,000 does not walk them all.
    const tries = ring.length <= SMALL_RING ? 0 : SMALL_RING;
    for (let each = 0; each < tries && picked.size < count; each++) {
      const member = members.get(ring[randomBelow(this.random, ring.length)] ?? "");
      if (member !== undefined && passes(member)) picked.set(member.node, member);
    }
    if (picked.size === count) return [...picked.values()];
    const start = ring.length === 0 ? 0 : randomBelow(this.random, ring.length);
    const rest = [...ring.slice(start), ...ring.slice(0, start)]
      .flatMap((node) => members.get(node) ?? [])
      .filter((member) => passes(member) && !picked.has(member.node));
    while (picked.size < count && rest.length > 0) {
      const [member] = rest.splice(randomBelow(this.random, rest.length), 1);
      if (member !== undefined) picked.set(member.node, member);
    }
    return [...picked.values()];
  }

  /** The next in the ring that pass: after a whole turn each has had its turn. */
  nextInTurn(count: number, passes: (member: Member) => boolean): Member[] {
    const { ring, members } = this.state;
    const next: Member[] = [];
    for (let tries = 0; tries < ring.length && next.length < count; tries++) {
      const member = members.get(ring[this.state.gossipRingAt % ring.length] ?? "");
      this.state.gossipRingAt = (this.state.gossipRingAt + 1) % ring.length;
      if (member !== undefined && passes(member)) next.push(member);
    }
    return next;
  }

  pickLive(count: number, except?: string): Member[] {
    return this.pick(count, (member) => isLive(member) && member.node !== except);
  }

  #ownMembers(): Map<string, Member> {
    if (!this.#ownsMembers) this.state.members = new Map(this.state.members);
    this.#ownsMembers = true;
    return this.state.members as Map<string, Member>;
  }
}

/** Rings up to this long are walked; of longer ones this many are tried by chance first. */
const SMALL_RING = 32;
