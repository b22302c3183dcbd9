/**
 * Whether others are alive: one is pinged per interval; without an answer others ping it too and TCP
 * is tried; without any by the interval's end it is suspected. A node that finds itself slow or cut
 * off takes longer before it accuses anybody.
 */
import type { Address } from "./address.ts";
import type { Draft } from "./draft.ts";
import { heardSuspect } from "./membership.ts";
import type { Message } from "./messages.ts";
import { isLive, type Member, type Probe, type Relay } from "./swim-state.ts";

/** Probes made for others at one time; at the bound the asker gets no help, and no nack. */
export const RELAYS_MAX = 256;
/** A helper gives up after this share of the probe timeout, so that its nack is in time. */
const NACK_SHARE = 0.6;
/** The protocol from which on nodes answer a ping over TCP, and say nack. */
const STREAM_PING_PROTOCOL_MIN = 3;
const NACK_PROTOCOL_MIN = 4;

/** Goes on with the probe that runs, or begins the next. */
export function probeTick(draft: Draft): void {
  const { probe } = draft.state;
  const { now } = draft;
  if (probe !== undefined && probe.nacksExpected === undefined && now >= probe.timeoutAt) {
    askOthers(draft, probe);
  } else if (probe?.nacksExpected !== undefined && now >= probe.deadlineAt) {
    fail(draft, probe, probe.nacksExpected);
  }
  if (draft.state.probe === undefined && now >= draft.state.probeAt) begin(draft);
}

/** Tells a suspect what it is accused of. */
export function tellSuspect(draft: Draft, suspect: Member): void {
  const ping: Message = { kind: "ping", sequence: draft.nextSequence(), node: suspect.node };
  draft.send(suspect, ping, ...accusations(draft, suspect));
}

/** Answers those who asked for a probe that nobody answered, and forgets the old ones. */
export function relayTick(draft: Draft): void {
  for (const [sequence, relay] of draft.state.relays) {
    if (relay.nackAt !== undefined && draft.now >= relay.nackAt) {
      draft.send(relay.origin, { kind: "nack", sequence: relay.originSequence });
      putRelay(draft, sequence, { ...relay, nackAt: undefined });
    } else if (draft.now >= relay.expiresAt) putRelay(draft, sequence, undefined);
  }
}

export function heardPing(draft: Draft, sequence: number, node: string, from: Address): void {
  // A ping for another came to a wrong or reused address: an answer would keep that other alive.
  if (node !== "" && node !== draft.state.self) return;
  const { digest } = draft.state;
  draft.send(from, { kind: "ack", sequence, ...(digest.length > 0 && { payload: digest }) });
}

export function heardPingReq(
  draft: Draft,
  request: Extract<Message, { kind: "pingReq" }>,
  from: Address,
): void {
  if (draft.state.relays.size >= RELAYS_MAX) return;
  const { probeTimeoutMs, probeIntervalMs } = draft.state.timings;
  const sequence = draft.nextSequence();
  putRelay(draft, sequence, {
    origin: from,
    originSequence: request.sequence,
    nackAt: request.nack ? draft.now + probeTimeoutMs * NACK_SHARE : undefined,
    expiresAt: draft.now + probeIntervalMs,
  });
  draft.send(request.target, { kind: "ping", sequence, node: request.node });
}

export function heardAck(draft: Draft, sequence: number, digest?: Buffer): void {
  const { probe, relays } = draft.state;
  if (probe?.sequence === sequence) {
    if (digest !== undefined) draft.effects.push({ kind: "digest", node: probe.node, digest });
    draft.state.probe = undefined;
    draft.addAwareness(-1);
    return;
  }
  const relay = relays.get(sequence);
  if (relay === undefined) return;
  draft.send(relay.origin, { kind: "ack", sequence: relay.originSequence });
  putRelay(draft, sequence, undefined);
}

export function heardNack(draft: Draft, sequence: number): void {
  const { probe } = draft.state;
  if (probe?.sequence === sequence) draft.state.probe = { ...probe, nacks: probe.nacks + 1 };
}

function begin(draft: Draft): void {
  const { timings, awareness, ring } = draft.state;
  const isFew = ring.length - 1 <= timings.confirmations;
  draft.state.probeAt = draft.now + (isFew ? timings.probeIntervalMsFew : timings.probeIntervalMs);
  const target = nextTarget(draft);
  if (target === undefined) return;
  const sequence = draft.nextSequence();
  const intervalMs = timings.probeIntervalMs * (awareness + 1);
  draft.state.probe = {
    node: target.node,
    sequence,
    timeoutAt: draft.now + timings.probeTimeoutMs,
    deadlineAt: draft.now + intervalMs,
    nacksExpected: undefined,
    nacks: 0,
  };
  draft.send(target, { kind: "ping", sequence, node: target.node }, ...accusations(draft, target));
}

/** A suspect hears with the ping what it is accused of, so that its answer can refute it. */
function accusations(draft: Draft, { node, incarnation, state }: Member): Message[] {
  return state === "suspect"
    ? [{ kind: "suspect", node, incarnation, from: draft.state.self }]
    : [];
}

function nextTarget(draft: Draft): Member | undefined {
  const { ring, members } = draft.state;
  for (let tries = 0; tries < ring.length; tries++) {
    const member = members.get(ring[draft.state.ringAt % ring.length] ?? "");
    draft.state.ringAt = (draft.state.ringAt + 1) % ring.length;
    if (member !== undefined && isLive(member)) return member;
  }
  return undefined;
}

function askOthers(draft: Draft, probe: Probe): void {
  const target = draft.state.members.get(probe.node);
  if (target === undefined || !isLive(target)) {
    draft.state.probe = undefined; // others have judged it meanwhile
    return;
  }
  const { sequence, node } = probe;
  let nacksExpected = 0;
  for (const helper of draft.pickLive(draft.state.timings.indirectChecks, node)) {
    const nack = (helper.versions[1] ?? 0) >= NACK_PROTOCOL_MIN;
    if (nack) nacksExpected++;
    draft.send(helper, { kind: "pingReq", sequence, node, target: target.address, nack });
  }
  if ((target.versions[1] ?? 0) >= STREAM_PING_PROTOCOL_MIN) {
    draft.effects.push({ kind: "streamPing", to: target.address, sequence, node });
  }
  // Asked late, the others still get the time that they would have had.
  const { probeIntervalMs, probeTimeoutMs } = draft.state.timings;
  const deadlineAt = Math.max(probe.deadlineAt, draft.now + probeIntervalMs - probeTimeoutMs);
  draft.state.probe = { ...probe, deadlineAt, nacksExpected };
}

function fail(draft: Draft, probe: Probe, nacksExpected: number): void {
  draft.state.probe = undefined;
  // Helpers that don't even say nack: rather this node is cut off than all of them are.
  draft.addAwareness(nacksExpected > 0 ? Math.max(0, nacksExpected - probe.nacks) : 1);
  const target = draft.state.members.get(probe.node);
  if (target === undefined) return;
  const { node, incarnation } = target;
  heardSuspect(draft, { node, incarnation, from: draft.state.self });
}

function putRelay(draft: Draft, sequence: number, relay: Relay | undefined): void {
  const relays = new Map(draft.state.relays);
  if (relay === undefined) relays.delete(sequence);
  else relays.set(sequence, relay);
  draft.state.relays = relays;
}
