/**
 * Whole members on one simulated clock and network, everything drawn from one seed: loss, delay,
 * partitions, crashes, restarts, pauses, clocks that differ. The program's own core runs; only
 * sockets are replaced. Invariants are checked after every step.
 */
import assert from "node:assert/strict";
import { type Random, seededRandom } from "../../../src/base/random.ts";
import { type Address, addressText } from "../../../src/gossip/address.ts";
import { encodeMessage, type Message } from "../../../src/gossip/messages.ts";
import { MESSAGES_BYTES_MAX } from "../../../src/gossip/packet.ts";
import { step } from "../../../src/gossip/swim.ts";
import {
  initialState,
  type Member,
  type MemberChange,
  nextDeadline,
  type SwimEffect,
  type SwimEvent,
  type SwimState,
} from "../../../src/gossip/swim-state.ts";
import type { Timings } from "../../../src/gossip/timings.ts";
import { EventHeap } from "./event-heap.ts";

export interface SimulationInit {
  readonly seed: number;
  readonly nodes: number;
  readonly timings: Timings;
  readonly loss?: number;
  readonly delayMs?: readonly [number, number];
  /** The share of packets that somebody records and sends once more, from the sender's address, when it is long over. */
  readonly replayed?: number;
  /** All know each other from the start; else each joins through the first. */
  readonly acquainted?: boolean;
  /** Whose news rides on the gossip of each node; none when absent. */
  readonly application?: (actions: SimulatedActions) => SimulatedApplication;
}

/** What an application can have done by its node. */
export interface SimulatedActions {
  readonly node: string;
  now(): number;
  broadcast(key: string, payload: Buffer): void;
  setDigest(digest: Buffer): void;
  exchange(node: string): void;
}

export interface SimulatedApplication {
  onNews(payload: Buffer): void;
  state(): Buffer;
  onState(state: Buffer): void;
  onDigest(node: string, digest: Buffer): void;
}

export interface Observation {
  readonly at: number;
  readonly observer: string;
  readonly change: MemberChange;
  readonly node: string;
}

/** The answer on a connection, and what else it brings. */
type Served = readonly [event: SwimEvent, also?: () => unknown];

/** IP and UDP headers, and what sealing and the checksum add. */
const PACKET_OVERHEAD_BYTES = 28 + 29 + 5;
/** What nodes answer their pings with, as long as the product's. */
const DIGEST = Buffer.alloc(19);
/** How much longer a lost segment of a connection takes. */
const RETRANSMISSION_MS = 1_000;
/** A connection over which nothing comes is given up after this. */
const STREAM_TIMEOUT_MS = 5_000;
/** Much longer than any verdict takes. */
const REPLAYED_MS_MAX = 60_000;
/** What a paused node's socket holds; more is lost. */
const SOCKET_PACKETS_MAX = 200;

interface SimulatedNode {
  readonly name: string;
  readonly address: Address;
  readonly random: Random;
  /** This node's clock: its own zero, its own speed. */
  readonly clock: { readonly offset: number; readonly rate: number };
  state: SwimState;
  running: boolean;
  pausedUntil: number;
  readonly inbox: SwimEvent[];
  /** Of the timer that is set; an older one that fires is void. */
  timer: number;
  application: SimulatedApplication | undefined;
}

export class SimulatedGossip {
  readonly nodes: SimulatedNode[] = [];
  readonly observations: Observation[] = [];
  readonly random: Random;
  now = 0;
  loss: number;
  /** Whom nothing reaches, and of whom nothing comes through: half of a way, and so no connections. */
  readonly deaf = new Set<string>();
  readonly mute = new Set<string>();
  bytes = 0;
  packets = 0;
  readonly #delayMs: readonly [number, number];
  readonly #replayed: number;
  readonly #timings: Timings;
  readonly #events = new EventHeap();
  readonly #byAddress = new Map<string, SimulatedNode>();
  readonly #sizes = new WeakMap<Message, number>();
  readonly #makeApplication: SimulationInit["application"];
  #group: ((node: string) => number) | undefined;

  constructor(init: SimulationInit) {
    this.random = seededRandom(init.seed);
    this.loss = init.loss ?? 0;
    this.#delayMs = init.delayMs ?? [0.1, 1];
    this.#replayed = init.replayed ?? 0;
    this.#timings = init.timings;
    this.#makeApplication = init.application;
    for (let index = 0; index < init.nodes; index++) this.#add(index);
    if (init.acquainted === true) this.#acquaint();
    else for (const node of this.nodes.slice(1)) this.join(node.name);
    for (const node of this.nodes) this.#setTimer(node);
  }

  node(name: string): SimulatedNode {
    const node = this.nodes.find((each) => each.name === name);
    assert.ok(node, name);
    return node;
  }

  run(forMs: number): void {
    const until = this.now + forMs;
    for (let event = this.#events.pop(until); event; event = this.#events.pop(until)) {
      this.now = Math.max(this.now, event.at);
      event.run();
    }
    this.now = until;
  }

  join(name: string): void {
    const node = this.node(name);
    const seeds = this.nodes.filter((each) => each !== node).map(({ address }) => address);
    this.#step(node, { kind: "join", seeds });
  }

  crash(name: string): void {
    this.node(name).running = false;
  }

  /** Comes back without any memory. */
  restart(name: string): void {
    const node = this.node(name);
    node.state = this.#initial(node);
    node.running = true;
    node.pausedUntil = 0;
    node.inbox.length = 0;
    this.#setTimer(node);
    this.join(name);
  }

  leave(name: string): void {
    this.#step(this.node(name), { kind: "leave" });
  }

  pause(name: string, forMs: number): void {
    const node = this.node(name);
    node.pausedUntil = this.now + forMs;
    this.#events.push(node.pausedUntil, () => this.#resume(node));
  }

  /** Nodes hear each other only within a group; `undefined` heals. */
  partition(group: ((node: string) => number) | undefined): void {
    this.#group = group;
  }

  /** What `observer` believes of `node`. */
  belief(observer: string, node: string): Member | undefined {
    return this.node(observer).state.members.get(node);
  }

  /** Who is wrong about whom, given who really runs. */
  disagreements(): string[] {
    const running = this.nodes.filter((node) => node.running && node.state.phase === "member");
    return running.flatMap((observer) =>
      this.nodes.flatMap((node) => {
        const state = observer.state.members.get(node.name)?.state ?? "unknown";
        const right = running.includes(node)
          ? state === "alive"
          : !["alive", "suspect"].includes(state);
        return right ? [] : [`${observer.name} holds ${node.name} for ${state}`];
      }),
    );
  }

  #add(index: number): void {
    const address = { host: `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`, port: 7946 };
    const node: SimulatedNode = {
      name: `n${index + 1}`,
      address,
      random: seededRandom(Math.floor(this.random.next() * 2 ** 32)),
      clock: { offset: this.random.next() * 1e9, rate: 0.999 + this.random.next() * 0.002 },
      state: undefined as unknown as SwimState,
      running: true,
      pausedUntil: 0,
      inbox: [],
      timer: 0,
      application: undefined,
    };
    node.state = this.#initial(node);
    node.application = this.#makeApplication?.(this.#actionsOf(node));
    this.nodes.push(node);
    this.#byAddress.set(addressText(address), node);
  }

  #actionsOf(node: SimulatedNode): SimulatedActions {
    const act = (event: SwimEvent) => {
      if (node.running) this.#step(node, event);
    };
    return {
      node: node.name,
      now: () => this.#localNow(node),
      broadcast: (key, payload) => act({ kind: "broadcast", key, payload }),
      setDigest: (digest) => act({ kind: "digest", digest }),
      exchange: (other) => act({ kind: "exchange", node: other }),
    };
  }

  #initial({ name, address, random, clock }: SimulatedNode): SwimState {
    const init = { node: name, address, timings: this.#timings };
    const state = initialState(init, clock.offset + this.now * clock.rate, random);
    return { ...state, digest: DIGEST };
  }

  #acquaint(): void {
    const members = this.nodes.map(({ state, name }) => state.members.get(name) as Member);
    for (const node of this.nodes) {
      const ring = members.map(({ node: name }) => name).filter((name) => name !== node.name);
      for (let index = ring.length - 1; index > 0; index--) {
        const other = Math.floor(node.random.next() * (index + 1));
        [ring[index], ring[other]] = [ring[other] as string, ring[index] as string];
      }
      const known = new Map(members.map((member) => [member.node, member]));
      node.state = { ...node.state, members: known, ring };
    }
  }

  #localNow({ clock }: SimulatedNode): number {
    return clock.offset + this.now * clock.rate;
  }

  #deliver(node: SimulatedNode, event: SwimEvent): void {
    if (!node.running) return;
    if (this.now < node.pausedUntil) {
      if (node.inbox.length < SOCKET_PACKETS_MAX) node.inbox.push(event);
    } else this.#step(node, event);
  }

  #resume(node: SimulatedNode): void {
    if (this.now < node.pausedUntil) return;
    // As in an event loop: what is due comes first, then what lies in the sockets.
    this.#deliver(node, { kind: "tick" });
    for (const event of node.inbox.splice(0)) this.#deliver(node, event);
  }

  #step(node: SimulatedNode, event: SwimEvent): void {
    const before = node.state;
    const result = step(before, event, this.#localNow(node), node.random);
    node.state = result.state;
    checkInvariants(before, node.state);
    for (const effect of result.effects) this.#perform(node, effect);
    this.#setTimer(node);
  }

  #setTimer(node: SimulatedNode): void {
    const timer = ++node.timer;
    const { state } = node;
    const localNow = this.#localNow(node);
    const inMs = Math.max(0, nextDeadline(state, localNow) - localNow) / node.clock.rate;
    if (inMs === Number.POSITIVE_INFINITY) return;
    this.#events.push(this.now + inMs + 0.001, () => {
      if (node.timer !== timer || !node.running || this.now < node.pausedUntil) return;
      this.#step(node, { kind: "tick" });
    });
  }

  #perform(node: SimulatedNode, effect: SwimEffect): void {
    switch (effect.kind) {
      case "packet":
        return this.#sendPacket(node, effect.to, effect.messages);
      case "pushPull":
        return this.#exchange(node, effect.to, effect.push.members);
      case "streamPing":
        return this.#streamPing(node, effect.to, effect.sequence, effect.node);
      case "change": {
        const { change, member } = effect;
        this.observations.push({ at: this.now, observer: node.name, change, node: member.node });
        return;
      }
      case "left":
        node.running = false;
        return;
      case "user":
        return node.application?.onNews(effect.payload);
      case "digest":
        return node.application?.onDigest(effect.node, effect.digest);
      case "reply":
      case "conflict":
      case "refused":
        return;
    }
  }

  #sendPacket(from: SimulatedNode, to: Address, messages: readonly Message[]): void {
    let bytes = 0;
    for (const message of messages) bytes += this.#sizeOf(message) + 2;
    assert.ok(bytes <= MESSAGES_BYTES_MAX, `a packet of ${bytes} bytes`);
    this.bytes += bytes + PACKET_OVERHEAD_BYTES;
    this.packets++;
    const target = this.#reach(from, to);
    if (target === undefined || this.random.next() < this.loss) return;
    if (this.mute.has(from.name) || this.deaf.has(target.name)) return;
    const packet = { kind: "packet", from: from.address, messages } as const;
    if (this.#replayed > 0 && this.random.next() < this.#replayed) {
      const at = this.now + this.random.next() * REPLAYED_MS_MAX;
      this.#events.push(at, () => this.#deliver(target, packet));
    }
    this.#events.push(this.now + this.#delay(), () => this.#deliver(target, packet));
  }

  #sizeOf(message: Message): number {
    const known = this.#sizes.get(message);
    if (known !== undefined) return known;
    const bytes = encodeMessage(message).length;
    this.#sizes.set(message, bytes);
    return bytes;
  }

  /** A connection's exchange: the request, and the answer as the other is when it has come. */
  #exchange(
    from: SimulatedNode,
    to: Address,
    members: readonly Member[] | readonly unknown[],
  ): void {
    const asked = from.application?.state();
    this.#connect(from, to, (target) => {
      if (asked !== undefined) target.application?.onState(asked);
      const request = { kind: "pushPull", from: from.address, members, stream: 0 } as SwimEvent;
      const result = step(target.state, request, this.#localNow(target), target.random);
      const reply = result.effects.find(({ kind }) => kind === "reply");
      this.#step(target, request);
      if (reply?.kind !== "reply" || reply.message.kind !== "pushPull") return undefined;
      const answer = reply.message.members;
      const state = target.application?.state();
      return [
        { kind: "pushPull", from: to, members: answer },
        () => state !== undefined && from.application?.onState(state),
      ];
    });
  }

  #streamPing(from: SimulatedNode, to: Address, sequence: number, name: string): void {
    this.#connect(from, to, (target) =>
      target.name === name ? [{ kind: "streamAck", sequence }] : undefined,
    );
  }

  #connect(
    from: SimulatedNode,
    to: Address,
    serve: (target: SimulatedNode) => Served | undefined,
  ): void {
    const there = this.#segments(3);
    const back = this.#segments(1);
    if (there + back > STREAM_TIMEOUT_MS) return;
    this.#events.push(this.now + there, () => {
      const target = this.#reach(from, to);
      if (target === undefined || this.now < target.pausedUntil) return;
      const isHalf = ({ name }: SimulatedNode) => this.deaf.has(name) || this.mute.has(name);
      if (isHalf(from) || isHalf(target)) return;
      const answer = serve(target);
      if (answer === undefined) return;
      const [event, also] = answer;
      this.#events.push(this.now + back, () => {
        if (this.#reach(from, to) === undefined) return;
        if (from.running && this.now >= from.pausedUntil) also?.();
        this.#deliver(from, event);
      });
    });
  }

  #segments(count: number): number {
    let total = 0;
    for (let segment = 0; segment < count; segment++) {
      while (this.random.next() < this.loss && total < STREAM_TIMEOUT_MS)
        total += RETRANSMISSION_MS;
      total += this.#delay();
    }
    return total;
  }

  #reach(from: SimulatedNode, to: Address): SimulatedNode | undefined {
    const target = this.#byAddress.get(addressText(to));
    if (target === undefined || !target.running) return undefined;
    const group = this.#group;
    return group !== undefined && group(from.name) !== group(target.name) ? undefined : target;
  }

  #delay(): number {
    const [least, most] = this.#delayMs;
    return least + this.random.next() * (most - least);
  }
}

/** What must hold after every step of every node. */
function checkInvariants(before: SwimState, after: SwimState): void {
  if (before.members === after.members) return;
  const self = after.members.get(after.self);
  assert.ok(self !== undefined);
  assert.ok(after.phase !== "member" || self.state === "alive", "a member holds itself for alive");
  assert.equal(after.ring.length, after.members.size - 1);
  for (const [node, member] of after.members) {
    const was = before.members.get(node);
    if (was === member) continue;
    assert.ok(was === undefined || was.incarnation <= member.incarnation, "incarnations only grow");
    const rose = was === undefined || member.incarnation > was.incarnation;
    assert.ok(rose || was.state !== "dead" || member.state !== "alive", "none rises by itself");
    assert.equal(after.suspicions.has(node), member.state === "suspect", "suspects have a time");
  }
}
