/**
 * SWIM with Lifeguard, as one pure function: what happened goes in, the next state and what is to be
 * done come out. It reads no clock, draws from the `random` it is given, and replays from a seed.
 */
import { unreachable } from "../base/assert.ts";
import { type Random, randomBelow } from "../base/random.ts";
import { type Address, addressText } from "./address.ts";
import { Draft } from "./draft.ts";
import { describe, heardAlive, heardDead, heardState, heardSuspect, leave } from "./membership.ts";
import type { Message } from "./messages.ts";
import {
  heardAck,
  heardNack,
  heardPing,
  heardPingReq,
  probeTick,
  relayTick,
  tellSuspect,
} from "./probe.ts";
import { remainingSuspicionTime, tellsAt } from "./suspicion.ts";
import {
  isLive,
  type Member,
  nextDeadline,
  type StatePush,
  type SwimEffect,
  type SwimEvent,
  type SwimState,
} from "./swim-state.ts";

/** Larger clusters exchange everything less often: twice the members, one interval more. */
const PUSH_PULL_SCALE_MEMBERS = 32;
/** More seeds than this are not remembered. */
const SEEDS_MAX = 64;
/** A join goes to the first of the seeds; one that is reached tells of all others. */
const JOIN_SEEDS = 3;
/** How often the forgotten are looked for, as a share of the time they are kept. */
const SWEEPS = 10;

/** `now` is in milliseconds of any clock that never goes back. The state given is not changed. */
export function step(
  state: SwimState,
  event: SwimEvent,
  now: number,
  random: Random,
): { state: SwimState; effects: readonly SwimEffect[] } {
  if (state.phase === "left") return { state, effects: [] };
  const draft = new Draft(state, now, random);
  forgiveStall(draft);
  handle(draft, event);
  gossipTick(draft);
  leaveTick(draft);
  return { state: draft.state, effects: draft.effects };
}

function handle(draft: Draft, event: SwimEvent): void {
  switch (event.kind) {
    case "tick":
      return tick(draft);
    case "packet":
      for (const message of event.messages) heard(draft, message, event.from);
      return;
    case "pushPull":
      heardState(draft, event.members, event.from);
      if (event.stream === undefined) return;
      draft.effects.push({ kind: "reply", stream: event.stream, message: push(draft, false) });
      return;
    case "streamPing":
      if (event.node !== "" && event.node !== draft.state.self) return;
      draft.effects.push({
        kind: "reply",
        stream: event.stream,
        message: { kind: "ack", sequence: event.sequence },
      });
      return;
    case "streamAck":
      return heardAck(draft, event.sequence);
    case "join":
      draft.state.seeds = event.seeds.slice(0, SEEDS_MAX);
      for (const to of event.seeds.slice(0, JOIN_SEEDS)) exchange(draft, to, true);
      return;
    case "seeds": {
      draft.state.seeds = event.seeds.slice(0, SEEDS_MAX);
      const isAlone = draft.pickLive(1).length === 0;
      // Whoever is new comes by itself: only one that knows nobody has to ask.
      if (isAlone) for (const to of event.seeds.slice(0, JOIN_SEEDS)) exchange(draft, to, true);
      return;
    }
    case "moved": {
      const known = draft.state.members.get(event.node);
      if (known === undefined || event.node === draft.state.self) return;
      return draft.put({ ...known, address: event.address });
    }
    case "digest":
      draft.state.digest = event.digest;
      return;
    case "exchange": {
      const known = draft.state.members.get(event.node);
      return known !== undefined && isLive(known)
        ? exchange(draft, known.address, false)
        : undefined;
    }
    case "leave":
      if (draft.state.phase !== "member") return;
      draft.state.phase = "leaving";
      draft.state.leaveBy = draft.now + draft.state.timings.leaveTimeoutMs;
      return leave(draft);
    case "describe":
      return draft.state.phase === "member" ? describe(draft, event.meta) : undefined;
    case "broadcast":
      return draft.broadcast(`user ${event.key}`, { kind: "user", payload: event.payload });
    default:
      return unreachable(event);
  }
}

function heard(draft: Draft, message: Message, from: Address): void {
  switch (message.kind) {
    case "ping":
      return heardPing(draft, message.sequence, message.node, from);
    case "pingReq":
      return heardPingReq(draft, message, from);
    case "ack":
      return heardAck(draft, message.sequence, message.payload);
    case "nack":
      return heardNack(draft, message.sequence);
    case "alive":
      return heardAlive(draft, message, from);
    case "suspect":
      return heardSuspect(draft, message, from);
    case "dead":
      return heardDead(draft, message, from);
    case "user":
      draft.effects.push({ kind: "user", payload: message.payload });
      return;
    case "error":
      return; // belongs to a stream, and is read there
    default:
      return unreachable(message);
  }
}

function tick(draft: Draft): void {
  suspicionTick(draft);
  probeTick(draft);
  relayTick(draft);
  pushPullTick(draft);
  reconnectTick(draft);
  sweepTick(draft);
}

/**
 * A node that slept finds all its timers due, while the answers they waited for lie unread in its
 * sockets. Whatever runs gets the time back, and the node trusts itself less.
 */
function forgiveStall(draft: Draft): void {
  const lateMs = draft.now - nextDeadline(draft.state, draft.now);
  if (!(lateMs > draft.state.timings.stallMs)) return;
  const { state } = draft;
  draft.addAwareness(1);
  for (const timer of TIMERS) state[timer] += lateMs;
  if (state.probe !== undefined) {
    const { timeoutAt, deadlineAt } = state.probe;
    state.probe = {
      ...state.probe,
      timeoutAt: timeoutAt + lateMs,
      deadlineAt: deadlineAt + lateMs,
    };
  }
  state.suspicions = mapValues(state.suspicions, (each) => ({
    ...each,
    startedAt: each.startedAt + lateMs,
  }));
  state.relays = mapValues(state.relays, (each) => ({
    ...each,
    nackAt: each.nackAt === undefined ? undefined : each.nackAt + lateMs,
    expiresAt: each.expiresAt + lateMs,
  }));
}

const TIMERS = [
  "probeAt",
  "gossipedAt",
  "pushPullAt",
  "reconnectAt",
  "sweepAt",
  "leaveBy",
] as const satisfies readonly (keyof SwimState)[];

function mapValues<K, V>(map: ReadonlyMap<K, V>, change: (value: V) => V): ReadonlyMap<K, V> {
  return new Map([...map].map(([key, value]) => [key, change(value)]));
}

function suspicionTick(draft: Draft): void {
  for (const [node, suspicion] of draft.state.suspicions) {
    const member = draft.state.members.get(node);
    if (member === undefined) continue;
    if (remainingSuspicionTime(suspicion, draft.now) <= 0) {
      heardDead(draft, { node, incarnation: member.incarnation, from: draft.state.self });
    } else if (!suspicion.told && draft.now >= tellsAt(suspicion)) {
      draft.suspect(node, { ...suspicion, told: true });
      tellSuspect(draft, member);
    }
  }
}

function gossipTick(draft: Draft): void {
  const { timings, gossipedAt } = draft.state;
  if (draft.state.queue.length === 0) return;
  if (draft.now < gossipedAt + timings.gossipIntervalMs) return;
  draft.state.gossipedAt = draft.now;
  const hears = (member: Member) =>
    isLive(member) ||
    (member.state === "dead" && draft.now - member.changedAt < timings.gossipToDeadMs);
  const others = draft.nextInTurn(timings.gossipFanout, hears);
  for (const other of others) draft.send(other);
  // Nobody to tell: whoever comes gets it all in the exchange of its join.
  if (others.length === 0) draft.state.queue = [];
}

function pushPullTick(draft: Draft): void {
  const { timings, pushPullAt, members } = draft.state;
  if (draft.now < pushPullAt) return;
  draft.state.pushPullAt = draft.now + pushPullEveryMs(timings.pushPullIntervalMs, members.size);
  for (const { address } of draft.pickLive(1)) exchange(draft, address, false);
}

/** How often a node of a cluster of this size exchanges everything with one other. */
export function pushPullEveryMs(intervalMs: number, members: number): number {
  const scale = Math.ceil(Math.log2(Math.max(1, members / PUSH_PULL_SCALE_MEMBERS))) + 1;
  return intervalMs * scale;
}

/**
 * Each dead member is tried about once per interval by the whole cluster, not by each node; and a
 * seed at whose address nobody lives, so that two halves that never met find each other.
 */
function reconnectTick(draft: Draft): void {
  const { timings, reconnectAt, members, seeds, self } = draft.state;
  if (draft.now < reconnectAt) return;
  draft.state.reconnectAt = draft.now + timings.reconnectIntervalMs;
  const lost: Address[] = [];
  const uninhabited = new Map(seeds.map((seed) => [addressText(seed), seed]));
  for (const member of members.values()) {
    if (member.state === "dead") lost.push(member.address);
    else if (uninhabited.size > 0 && (isLive(member) || member.node === self)) {
      uninhabited.delete(addressText(member.address));
    }
  }
  const dead = lost.length;
  lost.push(...uninhabited.values());
  // Alone it may ask as often as it likes: nobody else does.
  const live = members.size - dead;
  if (lost.length === 0 || draft.random.next() >= lost.length / live) return;
  const to = lost[randomBelow(draft.random, lost.length)];
  if (to !== undefined) exchange(draft, to, true);
}

function sweepTick(draft: Draft): void {
  const { timings, sweepAt, members, self } = draft.state;
  if (draft.now < sweepAt) return;
  draft.state.sweepAt = draft.now + timings.forgetMs / SWEEPS;
  for (const member of members.values()) {
    if (isLive(member) || member.node === self) continue;
    if (draft.now - member.changedAt < timings.forgetMs) continue;
    draft.remove(member.node);
    draft.changed("forgotten", member);
  }
}

/** The leave is over when it has been told as often as news is, or nobody is there, or time is up. */
function leaveTick(draft: Draft): void {
  const { phase, queue, self, leaveBy } = draft.state;
  if (phase !== "leaving") return;
  if (draft.now < leaveBy && queue.some(({ key }) => key === self)) return;
  draft.state.phase = "left";
  draft.effects.push({ kind: "left" });
}

function exchange(draft: Draft, to: Address, join: boolean): void {
  draft.effects.push({ kind: "pushPull", to, push: push(draft, join) });
}

function push(draft: Draft, join: boolean): StatePush {
  const members = [...draft.state.members.values()].map(
    ({ node, incarnation, address, meta, versions, state }) => ({
      node,
      incarnation,
      address,
      meta,
      versions,
      state,
    }),
  );
  return { kind: "pushPull", join, members };
}
