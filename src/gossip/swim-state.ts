/** What a member knows and waits for, what can happen to it, and what it then wants done. */
import type { Random } from "../base/random.ts";
import type { Address } from "./address.ts";
import type { BroadcastQueue } from "./broadcast-queue.ts";
import { type MemberView, type Message, OUR_VERSIONS, type PushPull } from "./messages.ts";
import { remainingSuspicionTime, type Suspicion, tellsAt } from "./suspicion.ts";
import type { Timings } from "./timings.ts";

export interface Member extends MemberView {
  /** When its state was last another. */
  readonly changedAt: number;
}

/** The one member that is being asked whether it is alive. */
export interface Probe {
  readonly node: string;
  readonly sequence: number;
  readonly timeoutAt: number;
  readonly deadlineAt: number;
  /** Set once others were asked: how many of them will say that they had no answer either. */
  readonly nacksExpected: number | undefined;
  readonly nacks: number;
}

/** A probe made for somebody else. */
export interface Relay {
  readonly origin: Address;
  readonly originSequence: number;
  /** When the origin is told that there was no answer; undefined once it was, or did not ask. */
  readonly nackAt: number | undefined;
  readonly expiresAt: number;
}

export interface SwimState {
  readonly self: string;
  readonly timings: Timings;
  readonly phase: "member" | "leaving" | "left";
  /** Told with each answer to a ping. */
  readonly digest: Buffer;
  /** Where this node itself lived before: who speaks of it there has only not heard. */
  readonly formerly: readonly Address[];
  readonly sequence: number;
  /** Everybody, this node included, the dead and the left until they are forgotten. */
  readonly members: ReadonlyMap<string, Member>;
  /** The others in the order in which they are probed; who is new comes in anywhere. */
  readonly ring: readonly string[];
  readonly ringAt: number;
  readonly suspicions: ReadonlyMap<string, Suspicion>;
  /** This node's doubt in itself, 0 when it is well (Lifeguard §IV.A). */
  readonly awareness: number;
  readonly probe: Probe | undefined;
  readonly relays: ReadonlyMap<number, Relay>;
  readonly queue: BroadcastQueue;
  readonly gossipedAt: number;
  /** Whose turn it is in the ring to be told news. */
  readonly gossipRingAt: number;
  /** Where members may be that are not known: tried now and then while nobody known lives there. */
  readonly seeds: readonly Address[];
  readonly probeAt: number;
  readonly pushPullAt: number;
  readonly reconnectAt: number;
  readonly sweepAt: number;
  readonly leaveBy: number;
}

export type SwimEvent =
  | { readonly kind: "tick" }
  | { readonly kind: "packet"; readonly from: Address; readonly messages: readonly Message[] }
  /** All that another believes; with `stream` it waits there for the same from us. */
  | {
      readonly kind: "pushPull";
      readonly from: Address;
      readonly members: readonly MemberView[];
      readonly stream?: number;
    }
  | {
      readonly kind: "streamPing";
      readonly stream: number;
      readonly sequence: number;
      readonly node: string;
    }
  | { readonly kind: "streamAck"; readonly sequence: number }
  | { readonly kind: "join"; readonly seeds: readonly Address[] }
  /** Where members may be; asked only while nobody is known. */
  | { readonly kind: "seeds"; readonly seeds: readonly Address[] }
  /** A member lives elsewhere now, on the word of somebody who must know. */
  | { readonly kind: "moved"; readonly node: string; readonly address: Address }
  | { readonly kind: "digest"; readonly digest: Buffer }
  /** Everything is to be exchanged with this member, now. */
  | { readonly kind: "exchange"; readonly node: string }
  | { readonly kind: "leave" }
  | { readonly kind: "describe"; readonly meta: Buffer }
  | { readonly kind: "broadcast"; readonly key: string; readonly payload: Buffer };

export const MEMBER_CHANGES = [
  "joined",
  "updated",
  "suspected",
  "recovered",
  "failed",
  "left",
  "forgotten",
] as const;
export type MemberChange = (typeof MEMBER_CHANGES)[number];

export type SwimEffect =
  | {
      readonly kind: "packet";
      readonly to: Address;
      readonly crc: boolean;
      readonly messages: readonly Message[];
    }
  | { readonly kind: "pushPull"; readonly to: Address; readonly push: StatePush }
  | {
      readonly kind: "streamPing";
      readonly to: Address;
      readonly sequence: number;
      readonly node: string;
    }
  | { readonly kind: "reply"; readonly stream: number; readonly message: StatePush | Message }
  | { readonly kind: "change"; readonly change: MemberChange; readonly member: Member }
  | { readonly kind: "user"; readonly payload: Buffer }
  /** A member has answered, and said what it knows. */
  | { readonly kind: "digest"; readonly node: string; readonly digest: Buffer }
  /** Somebody at `other` goes by the name of a member at another address. */
  | { readonly kind: "conflict"; readonly member: Member; readonly other: Address }
  /** There is no room for another member. */
  | { readonly kind: "refused"; readonly node: string }
  /** The leave has been told, or its time is over. */
  | { readonly kind: "left" };

/** The members' half of a push/pull; the application's state is added outside. */
export type StatePush = Omit<PushPull, "user">;

export interface SwimInit {
  readonly node: string;
  readonly address: Address;
  readonly timings: Timings;
  readonly meta?: Buffer;
  readonly formerly?: readonly Address[];
}

/** A member alone. Its first probe and exchange come at a random time, so that nodes do not act together. */
export function initialState(init: SwimInit, now: number, random: Random): SwimState {
  const { node, address, timings, meta = Buffer.alloc(0), formerly = [] } = init;
  const self: Member = {
    node,
    incarnation: 1,
    address,
    meta,
    versions: OUR_VERSIONS,
    state: "alive",
    changedAt: now,
  };
  return {
    self: node,
    timings,
    phase: "member",
    digest: Buffer.alloc(0),
    formerly,
    sequence: 0,
    members: new Map([[node, self]]),
    ring: [],
    ringAt: 0,
    suspicions: new Map(),
    awareness: 0,
    probe: undefined,
    relays: new Map(),
    queue: [],
    gossipedAt: Number.NEGATIVE_INFINITY,
    gossipRingAt: 0,
    seeds: [],
    probeAt: now + random.next() * timings.probeIntervalMs,
    pushPullAt: now + random.next() * timings.pushPullIntervalMs,
    reconnectAt: now + random.next() * timings.reconnectIntervalMs,
    sweepAt: now + timings.forgetMs,
    leaveBy: Number.POSITIVE_INFINITY,
  };
}

/** When the state wants its next tick. */
export function nextDeadline(state: SwimState, now: number): number {
  if (state.phase === "left") return Number.POSITIVE_INFINITY;
  const { probe, queue, timings } = state;
  let at = Math.min(state.pushPullAt, state.reconnectAt, state.sweepAt, state.leaveBy);
  if (probe === undefined) at = Math.min(at, state.probeAt);
  else at = Math.min(at, probe.nacksExpected === undefined ? probe.timeoutAt : probe.deadlineAt);
  if (queue.length > 0) at = Math.min(at, state.gossipedAt + timings.gossipIntervalMs);
  for (const suspicion of state.suspicions.values()) {
    at = Math.min(at, now + remainingSuspicionTime(suspicion, now));
    if (!suspicion.told) at = Math.min(at, tellsAt(suspicion));
  }
  for (const { nackAt, expiresAt } of state.relays.values()) at = Math.min(at, nackAt ?? expiresAt);
  return at;
}

/** Whether it takes part as far as is known. */
export function isLive({ state }: MemberView): boolean {
  return state === "alive" || state === "suspect";
}
