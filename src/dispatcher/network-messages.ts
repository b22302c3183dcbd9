/**
 * What nodes report about the network between them, as messages on the nodes that are to blame: of two that do
 * not hear each other it is the one that more others don't hear either. Pure.
 */
import type { PeerProblem, PeerProblemKind } from "./assignment.ts";

/** A member. */
export interface DiagnosedNode {
  readonly nodeID: string;
  readonly hostname: string;
  readonly addr: string;
  /** Nobody believes that it is there; but some may hear it, and not understand. */
  readonly isDown?: boolean;
  /** Where its tunnels end, when that is not `addr`. */
  readonly dataPathAddr?: string;
}

export interface NetworkFacts {
  readonly nodes: readonly DiagnosedNode[];
  /** By the node that reports. */
  readonly reports: ReadonlyMap<string, readonly PeerProblem[]>;
  /** The node's clock less the manager's, in milliseconds. */
  readonly skews: ReadonlyMap<string, number>;
  /** Addresses that take turns with one certificate. */
  readonly rivals: ReadonlyMap<string, readonly string[]>;
  readonly dataPathPort: number;
}

/** Certificates are dated an hour back; tokens, logs and back-offs suffer sooner. */
export const SKEW_MS_MAX = 30_000;
/** Peers that a message names; of more it says how many. */
const NAMES_MAX = 3;

type PairKind = Exclude<PeerProblemKind, "silent" | "name" | "oneway" | "checksum">;

const PAIR_TEXTS: Readonly<Record<PairKind, (others: string, port: number) => string>> = {
  udp: (others) => `7946/udp is closed between it and ${others}, 7946/tcp is open`,
  tcp: (others) => `7946/tcp is closed between it and ${others}, 7946/udp is open`,
  key: (others) => `its gossip and that of ${others} are sealed with different keys`,
  tunnel: (others, port) => `${port}/udp is closed between it and ${others}: no tunnel`,
  mtu: (others) =>
    `an MTU black hole between it and ${others}: only small packets pass through the tunnel`,
};

/** What is heard of a node though it is held for down: packets that are not understood, or another of its name. */
const HEARD_OF_DOWN: ReadonlySet<PeerProblemKind> = new Set(["key", "name"]);

/** By node; who is well is missing. */
export function networkMessages(told: NetworkFacts): ReadonlyMap<string, readonly string[]> {
  const byID = new Map(told.nodes.map((node) => [node.nodeID, node]));
  const facts = { ...told, reports: believed(told.reports, byID) };
  const up = told.nodes.filter(({ isDown }) => isDown !== true);
  const messages = new Map<string, string[]>();
  const say = (nodeID: string, text: string) => {
    const said = messages.get(nodeID) ?? [];
    if (!said.includes(text)) messages.set(nodeID, [...said, text]);
  };
  for (const [reporter, problems] of facts.reports) {
    for (const { kind, peer, detail = "" } of problems) {
      const node = byID.get(peer);
      if (kind === "silent" && peer === reporter) say(peer, `it does not gossip: ${detail}`);
      // Rivals for its session change its address with each turn, and are named themselves.
      const isOther = detail !== node?.addr && !facts.rivals.has(peer);
      if (kind === "name" && node !== undefined && isOther) say(peer, twice(node.addr, detail));
    }
  }
  const namesOf = (nodeIDs: readonly string[]) =>
    named(nodeIDs.map((nodeID) => byID.get(nodeID)?.hostname ?? nodeID));
  const ways = directedOf("oneway", facts);
  // Who is to blame is seen from all tunnels that are closed, be it one way.
  const closed = [...pairsOf("tunnel", facts), ...pairsOf("oneway", facts)];
  const distinct = [...new Map(closed.map((pair) => [pair.join(), pair])).values()];
  const isOneWay = ([a, b]: Pair) =>
    ways.some(([from, to]) => (from === a && to === b) || (from === b && to === a));
  for (const kind of Object.keys(PAIR_TEXTS) as PairKind[]) {
    const pairs = pairsOf(kind, facts);
    // Who hears nothing at all does not know that the other does.
    const sound = kind === "tunnel" ? pairs.filter((pair) => !isOneWay(pair)) : pairs;
    for (const [blamed, others] of blame(sound, kind === "tunnel" ? distinct : pairs, byID)) {
      say(blamed, PAIR_TEXTS[kind](namesOf(others), facts.dataPathPort));
    }
  }
  for (const [blamed, others] of blame(ways, distinct, byID)) {
    const isLost = (from: string, to: string) => ways.some(([a, b]) => a === from && b === to);
    const from = others.filter((other) => isLost(other, blamed));
    const to = others.filter((other) => isLost(blamed, other));
    if (from.length > 0) say(blamed, oneWayText(namesOf(from), "it", facts.dataPathPort));
    if (to.length > 0) say(blamed, oneWayText("it", namesOf(to), facts.dataPathPort));
  }
  for (const [nodeID, pairs] of Map.groupBy(directedOf("checksum", facts), ([from]) => from)) {
    say(nodeID, checksumText(namesOf(pairs.map(([, to]) => to))));
  }
  for (const { nodeID } of up) {
    const skewMs = facts.skews.get(nodeID) ?? 0;
    if (Math.abs(skewMs) > SKEW_MS_MAX) say(nodeID, skewText(skewMs));
    const [first, second] = facts.rivals.get(nodeID) ?? [];
    if (first !== undefined && second !== undefined) say(nodeID, twice(first, second));
  }
  const owners = new Map<string, DiagnosedNode>();
  for (const node of up) {
    for (const addr of new Set([node.addr, node.dataPathAddr ?? node.addr])) {
      const other = owners.get(addr);
      owners.set(addr, node);
      if (other === undefined) continue;
      say(node.nodeID, `its address ${addr} is ${other.hostname}'s too`);
      say(other.nodeID, `its address ${addr} is ${node.hostname}'s too`);
    }
  }
  return messages;
}

/** Of members about members, and of those that are down only what can be heard all the same. */
function believed(
  reports: NetworkFacts["reports"],
  byID: ReadonlyMap<string, DiagnosedNode>,
): NetworkFacts["reports"] {
  const isUp = (nodeID: string) => byID.get(nodeID)?.isDown !== true;
  const found = [...reports]
    .filter(([reporter]) => byID.has(reporter) && isUp(reporter))
    .map(([reporter, problems]) => {
      const of = problems.filter(
        ({ kind, peer }) => byID.has(peer) && (isUp(peer) || HEARD_OF_DOWN.has(kind)),
      );
      return [reporter, of] as const;
    });
  return new Map(found);
}

type Pair = readonly [string, string];

/** From whom to whom, as the first reported it. */
function directedOf(kind: PeerProblemKind, { reports }: NetworkFacts): readonly Pair[] {
  return [...reports].flatMap(([reporter, problems]) =>
    problems
      .filter(({ kind: found, peer }) => found === kind && peer !== reporter)
      .map(({ peer }): Pair => [reporter, peer]),
  );
}

/** Each pair once, whichever of the two reported it. */
function pairsOf(kind: PairKind | "oneway", { reports }: NetworkFacts): readonly Pair[] {
  const pairs = new Map<string, Pair>();
  for (const [reporter, problems] of reports) {
    for (const { kind: found, peer } of problems) {
      if (found !== kind || peer === reporter) continue;
      const pair: Pair = reporter < peer ? [reporter, peer] : [peer, reporter];
      pairs.set(pair.join(), pair);
    }
  }
  return [...pairs.values()];
}

/** Of each pair who is down, or stands in more of all pairs; both where neither does. With whom, by who is blamed. */
function blame(
  pairs: readonly Pair[],
  all: readonly Pair[],
  byID: ReadonlyMap<string, DiagnosedNode>,
): ReadonlyMap<string, readonly string[]> {
  const counts = new Map<string, number>();
  for (const nodeID of all.flat()) counts.set(nodeID, (counts.get(nodeID) ?? 0) + 1);
  const guilt = (nodeID: string) =>
    byID.get(nodeID)?.isDown === true ? Number.POSITIVE_INFINITY : (counts.get(nodeID) ?? 0);
  const blamed = new Map<string, string[]>();
  for (const [a, b] of pairs) {
    const more = guilt(a) - guilt(b);
    if (more >= 0) blamed.set(a, [...(blamed.get(a) ?? []), b]);
    if (more <= 0) blamed.set(b, [...(blamed.get(b) ?? []), a]);
  }
  return blamed;
}

function named(names: readonly string[]): string {
  const sorted = names.toSorted();
  const shown = sorted.slice(0, NAMES_MAX).join(", ");
  return sorted.length > NAMES_MAX ? `${shown} and ${sorted.length - NAMES_MAX} more` : shown;
}

/** To ten seconds, so that a slow drift is not a change each second. */
function skewText(skewMs: number): string {
  const seconds = Math.round(Math.abs(skewMs) / 10_000) * 10;
  return `its clock is ${seconds} s ${skewMs > 0 ? "ahead of" : "behind"} the manager's`;
}

function oneWayText(from: string, to: string, port: number): string {
  return `${port}/udp is closed from ${from} to ${to}, and open the other way: a firewall, or asymmetric routes`;
}

function checksumText(others: string): string {
  return `what it sends to ${others} by the tunnel arrives with wrong checksums: switch its link's offload off (ethtool -K DEV tx-checksum-ip-generic off tx-udp_tnl-segmentation off)`;
}

function twice(...addresses: readonly [string, string]): string {
  const [first, second] = addresses.toSorted();
  return `two hosts go by its certificate: ${first} and ${second}; 'weft reset' one of them, and join anew`;
}
