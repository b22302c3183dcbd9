/** What `weft gossip` prints, from the daemon's answer. Pure. */
import type { GossipAilmentAnswer, GossipAnswer, GossipMemberAnswer } from "../api/gossip.ts";
import { unreachable } from "../base/assert.ts";
import { align } from "./mesh-table.ts";

/** A line for each member, then what was refused and the keys. */
export function describeGossip(answer: GossipAnswer): string[] {
  const { Fault, Keys, Counters, Disputed, Members, Ailments } = answer;
  if (Fault !== "") return [`this node does not gossip: ${Fault}`];
  const head = ["NODE", "HOSTNAME", "ADDRESS", "STATE", "LAG", "ANSWERED"];
  const rows = Members.map((member) => [
    member.ID,
    member.Hostname,
    member.Addr,
    member.State,
    lagOf(member),
    member.AnsweredMsAgo === undefined ? "-" : `${(member.AnsweredMsAgo / 1_000).toFixed(1)} s ago`,
  ]);
  return [
    ...align([head, ...rows]),
    "",
    ...Ailments.map((ailment) => `! ${ailmentText(ailment)}`),
    `keys: ${Keys.join(", ")} (the first seals)`,
    `packets: ${Counters.PacketsIn} in, ${Counters.PacketsOut} out; not opened by any key: ${Counters.Unsealed}; unreadable: ${Counters.Undecodable}`,
    ...(Disputed === 0
      ? []
      : [`not believed: ${Disputed}, about endpoints that managers have put elsewhere`]),
    `exchanges: ${Counters.Exchanges}, failed: ${Counters.ExchangesFailed}`,
  ];
}

function lagOf({ Lag, Agrees }: GossipMemberAnswer): string {
  if (Lag === undefined) return "-";
  if (Lag > 0) return `${Lag} behind`;
  return Agrees === false ? "differs" : "none";
}

/** One ailment in plain words. */
export function ailmentText({ Kind, Addr, NodeID = "", Packets = 0 }: GossipAilmentAnswer): string {
  switch (Kind) {
    case "udp":
      return `7946/udp is closed between this host and ${Addr}, 7946/tcp is open`;
    case "tcp":
      return `7946/tcp is closed between this host and ${Addr}, 7946/udp is open`;
    case "key":
      return `${Addr} seals its gossip with a key that this node does not have: ${Packets} packets of it were not opened`;
    case "name":
      return `a second host goes by the certificate of ${NodeID}: ${Addr}`;
    case "tunnel":
      return `nothing passes through the tunnel between this host and ${Addr}`;
    case "oneway":
      return `the tunnel passes from ${Addr} to this host, and not from this host to ${Addr}`;
    case "mtu":
      return `only small packets pass through the tunnel between this host and ${Addr}`;
    case "checksum":
      return `what this host sends to ${Addr} by the tunnel arrives with wrong checksums`;
    default:
      return unreachable(Kind);
  }
}
