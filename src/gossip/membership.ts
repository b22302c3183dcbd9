/**
 * What a member believes after hearing that another is alive, suspect or dead. A higher incarnation
 * wins; at the same one, dead beats suspect beats alive; only the member itself raises its own.
 */
import { type Address, sameAddress } from "./address.ts";
import type { Draft } from "./draft.ts";
import type { Accusation, Description, MemberView } from "./messages.ts";
import { confirm, type Suspicion } from "./suspicion.ts";
import { isLive, type Member } from "./swim-state.ts";

/** More members than this are not taken in; each is some 400 bytes here. */
export const MEMBERS_MAX = 10_000;
const INCARNATION_MAX = 0xffff_ffff;

export function heardAlive(draft: Draft, heard: Description, from?: Address): void {
  if (heard.node === draft.state.self) return heardOfSelf(draft, heard, from);
  const known = draft.state.members.get(heard.node);
  if (known === undefined) return meet(draft, heard);
  if (!sameAddress(known.address, heard.address) && isLive(known)) {
    // Two nodes of one name, or one that has moved: until the first is dead its name is taken.
    draft.effects.push({ kind: "conflict", member: known, other: heard.address });
    return;
  }
  if (heard.incarnation <= known.incarnation) return;
  draft.suspect(known.node, undefined);
  const changedAt = known.state === "alive" ? known.changedAt : draft.now;
  const member: Member = { ...describedBy(heard), state: "alive", changedAt };
  draft.put(member);
  draft.broadcast(member.node, { kind: "alive", ...describedBy(heard) });
  if (!isLive(known)) draft.changed("joined", member);
  else if (known.state === "suspect") draft.changed("recovered", member);
  else if (!known.meta.equals(heard.meta)) draft.changed("updated", member);
}

export function heardSuspect(draft: Draft, heard: Accusation, from?: Address): void {
  const known = draft.state.members.get(heard.node);
  if (known?.node === draft.state.self) return answer(draft, heard.incarnation, from);
  if (known === undefined || heard.incarnation < known.incarnation) return;
  const suspicion = draft.state.suspicions.get(known.node);
  if (suspicion !== undefined) {
    const confirmed = confirm(suspicion, heard.from);
    if (confirmed === undefined) return;
    draft.suspect(known.node, confirmed);
    draft.broadcast(known.node, { kind: "suspect", ...heard });
    return;
  }
  if (known.state !== "alive") return;
  const { incarnation } = heard;
  const member: Member = { ...known, incarnation, state: "suspect", changedAt: draft.now };
  draft.put(member);
  draft.suspect(known.node, newSuspicion(draft, heard.from));
  draft.broadcast(known.node, { kind: "suspect", ...heard });
  draft.changed("suspected", member);
}

export function heardDead(draft: Draft, heard: Accusation, from?: Address): void {
  const known = draft.state.members.get(heard.node);
  if (known?.node === draft.state.self) return answer(draft, heard.incarnation, from);
  if (known === undefined || heard.incarnation < known.incarnation) return;
  const left = heard.from === heard.node;
  // A leave that is heard after the death is the truer word.
  if (known.state === "left" || (known.state === "dead" && !left)) return;
  draft.suspect(known.node, undefined);
  const { incarnation } = heard;
  const member: Member = {
    ...known,
    incarnation,
    state: left ? "left" : "dead",
    changedAt: draft.now,
  };
  draft.put(member);
  draft.broadcast(known.node, { kind: "dead", ...heard });
  draft.changed(left ? "left" : "failed", member);
}

/**
 * Another's beliefs, one by one. Whom it holds for dead is suspected only: a member that lives has
 * the chance to say so, wherever the news of its death comes from.
 */
export function heardState(draft: Draft, members: readonly MemberView[], from: Address): void {
  for (const member of members) {
    const { node, incarnation } = member;
    if (member.state === "alive") heardAlive(draft, member, from);
    else if (member.state === "left") heardDead(draft, { node, incarnation, from: node }, from);
    else heardSuspect(draft, { node, incarnation, from: draft.state.self }, from);
  }
}

/** The leave: told by this node itself, and true at once. */
export function leave(draft: Draft): void {
  const { node, incarnation } = draft.self;
  draft.put({ ...draft.self, state: "left", changedAt: draft.now });
  draft.broadcast(node, { kind: "dead", node, incarnation, from: node });
}

/** Tells all what this node now says about itself. */
export function describe(draft: Draft, meta: Buffer): void {
  raiseIncarnation(draft, draft.self.incarnation, meta);
}

function meet(draft: Draft, heard: Description): void {
  if (draft.state.members.size >= MEMBERS_MAX) {
    draft.effects.push({ kind: "refused", node: heard.node });
    return;
  }
  const member: Member = { ...describedBy(heard), state: "alive", changedAt: draft.now };
  draft.add(member);
  draft.broadcast(member.node, { kind: "alive", ...describedBy(heard) });
  draft.changed("joined", member);
}

/** News about this node from before its restart, or from another of its name. */
function heardOfSelf(draft: Draft, heard: Description, from: Address | undefined): void {
  const { self } = draft;
  if (draft.state.phase !== "member") return;
  const isHere = [self.address, ...draft.state.formerly].some((each) =>
    sameAddress(each, heard.address),
  );
  if (!isHere) {
    // Two of one name would outbid each other for ever, and every bid would go to all.
    draft.effects.push({ kind: "conflict", member: self, other: heard.address });
    return;
  }
  if (heard.incarnation < self.incarnation) return;
  const isSame = sameAddress(self.address, heard.address) && heard.meta.equals(self.meta);
  if (heard.incarnation === self.incarnation && isSame) return;
  refute(draft, heard.incarnation, from);
}

/** An accusation that was refuted already comes from one who has missed that: it is told alone. */
function answer(draft: Draft, accused: number, from: Address | undefined): void {
  if (draft.state.phase !== "member") return;
  if (accused >= draft.self.incarnation) refute(draft, accused, from);
  else if (from !== undefined) draft.send(from, { kind: "alive", ...describedBy(draft.self) });
}

/** "I am alive": with an incarnation above that of the accusation, to all, and first to who brought it. */
function refute(draft: Draft, accused: number, to: Address | undefined): void {
  if (draft.state.phase !== "member") return;
  draft.addAwareness(1);
  raiseIncarnation(draft, Math.max(accused, draft.self.incarnation), draft.self.meta);
  if (to !== undefined) draft.send(to, { kind: "alive", ...describedBy(draft.self) });
}

function raiseIncarnation(draft: Draft, above: number, meta: Buffer): void {
  const self = { ...draft.self, incarnation: Math.min(above + 1, INCARNATION_MAX), meta };
  draft.put(self);
  draft.broadcast(self.node, { kind: "alive", ...describedBy(self) });
}

function newSuspicion(draft: Draft, from: string): Suspicion {
  const { timings, members } = draft.state;
  let others = -2; // neither this node nor the suspect
  for (const member of members.values()) if (isLive(member)) others++;
  return {
    startedAt: draft.now,
    from,
    confirmations: [],
    // Where hardly anybody is left to confirm, nobody is waited for.
    wanted: others <= timings.confirmations ? 0 : timings.confirmations,
    timeoutMsMin: timings.suspicionTimeoutMsMin,
    timeoutMsMax: timings.suspicionTimeoutMsMax,
    told: false,
  };
}

/** Only what a member says about itself: a state or a time that came with it stays behind. */
function describedBy({ node, incarnation, address, meta, versions }: Description): Description {
  return { node, incarnation, address, meta, versions };
}
