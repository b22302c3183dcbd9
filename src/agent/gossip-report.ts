/** How this node's gossip stands, for whoever asks: who is there as it sees them, how far it lags behind each, and what it has refused. */
import { createHash } from "node:crypto";
import { addressText } from "../gossip/address.ts";
import type { Ailment } from "../gossip/ailments.ts";
import { type GossipCounters, type GossipNode, NO_COUNTS } from "../gossip/gossip-node.ts";
import type { MemberState } from "../gossip/messages.ts";
import type { Lag } from "./gossip-lag.ts";
import type { TunnelAilment } from "./tunnel-watch.ts";

export interface GossipReport {
  /** Why it does not take part; empty when it does. */
  readonly fault: string;
  /** By their fingerprints: the first seals, all open. */
  readonly keys: readonly string[];
  readonly counters: GossipCounters;
  readonly members: readonly GossipMemberReport[];
  /** Words about endpoints that managers have told otherwise: not heard. */
  readonly disputed: number;
  /** What is wrong between this node and others, strangers too; of the tunnel as well. */
  readonly ailments: readonly PeerAilment[];
}

/** What the gossip shows, or the tunnel's watch. */
export type PeerAilment = Ailment | { readonly kind: TunnelAilment; readonly host: string };

export interface GossipMemberReport {
  readonly nodeID: string;
  readonly hostname: string;
  readonly address: string;
  readonly state: MemberState;
  /** Words of it that have not arrived here; absent for this node itself, and where no answer has told yet. */
  readonly lag?: number;
  /** Whether both know the same of everybody. */
  readonly agrees?: boolean;
  readonly answeredMsAgo?: number;
}

/** Hexadecimal digits: enough to see which keys two nodes share, and nothing of a key. */
const FINGERPRINT_LENGTH = 8;

export function gossipReport(
  node: GossipNode | undefined,
  fault: string,
  lagOf: (nodeID: string) => Lag | undefined,
  now: number,
  disputed: number,
): GossipReport {
  const members = (node?.members() ?? []).map((member): GossipMemberReport => {
    const lag = lagOf(member.node);
    return {
      nodeID: member.node,
      hostname: member.meta.toString("utf8"),
      address: addressText(member.address),
      state: member.state,
      ...(lag === undefined
        ? {}
        : { lag: lag.lag, agrees: lag.agrees, answeredMsAgo: Math.round(now - lag.at) }),
    };
  });
  return {
    fault: node === undefined && fault === "" ? "no manager has told keys and address yet" : fault,
    keys: (node?.keyring?.keys ?? []).map(fingerprint),
    counters: node?.counters ?? NO_COUNTS,
    disputed,
    ailments: node?.ailments() ?? [],
    members: members.toSorted((a, b) => (a.nodeID < b.nodeID ? -1 : 1)),
  };
}

function fingerprint(key: Buffer): string {
  return createHash("sha256").update(key).digest("hex").slice(0, FINGERPRINT_LENGTH);
}
