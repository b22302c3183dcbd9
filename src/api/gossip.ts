/** `/weft/gossip`: this node's view of the others, on any member; and a new key for all, on a manager. Weft's own paths. */
import type { GossipMemberReport, GossipReport } from "../agent/gossip-report.ts";
import type { TunnelAilment } from "../agent/tunnel-watch.ts";
import { UnavailableError } from "../base/errors.ts";
import type { AilmentKind } from "../gossip/ailments.ts";
import type { Answer, ApiCall } from "./call.ts";
import { requireManager } from "./manager.ts";

export interface GossipAnswer {
  /** Why this node does not take part; empty when it does. */
  readonly Fault: string;
  /** Fingerprints; the first seals, all open. */
  readonly Keys: readonly string[];
  readonly Counters: {
    readonly PacketsIn: number;
    readonly PacketsOut: number;
    readonly BytesOut: number;
    /** Not what a member would say. */
    readonly Undecodable: number;
    /** Sealed with no key of the ring. */
    readonly Unsealed: number;
    readonly Exchanges: number;
    readonly ExchangesFailed: number;
  };
  /** Words about endpoints that managers have told otherwise. */
  readonly Disputed: number;
  readonly Members: readonly GossipMemberAnswer[];
  readonly Ailments: readonly GossipAilmentAnswer[];
}

/** What is wrong between this node and another, which may be a stranger. */
export interface GossipAilmentAnswer {
  /**
   * `udp` or `tcp`: closed, the other open. `key`: sealed with none of ours. `name`: a second host of this member's.
   * Of the tunnel to it: `tunnel`, nothing passes; `oneway`, only what it sends; `mtu`, small packets alone; `checksum`,
   * what this node sends arrives with wrong ones.
   */
  readonly Kind: AilmentKind | TunnelAilment;
  readonly Addr: string;
  readonly NodeID?: string;
  /** Of `key`: how many of its packets no key opened, one after the other. */
  readonly Packets?: number;
}

export interface GossipMemberAnswer {
  readonly ID: string;
  readonly Hostname: string;
  readonly Addr: string;
  readonly State: string;
  /** Words of it about its endpoints that this node lacks. */
  readonly Lag?: number;
  /** Whether both know the same of everybody. */
  readonly Agrees?: boolean;
  readonly AnsweredMsAgo?: number;
}

export function inspectGossip(call: ApiCall): Answer {
  const report = call.context.backend.gossip();
  if (report === undefined) throw new UnavailableError("This node is not part of a swarm");
  return { status: 200, body: gossipAnswer(report) };
}

/** The new key opens everywhere at once and seals a minute later. */
export async function postGossipKeyRotate(call: ApiCall): Promise<Answer> {
  await requireManager(call.context).rotateGossipKey();
  return { status: 200, body: {} };
}

function gossipAnswer({
  fault,
  keys,
  counters,
  disputed,
  members,
  ailments,
}: GossipReport): GossipAnswer {
  return {
    Fault: fault,
    Keys: keys,
    Counters: {
      PacketsIn: counters.packetsIn,
      PacketsOut: counters.packetsOut,
      BytesOut: counters.bytesOut,
      Undecodable: counters.undecodable,
      Unsealed: counters.unsealed,
      Exchanges: counters.exchanges,
      ExchangesFailed: counters.exchangesFailed,
    },
    Disputed: disputed,
    Members: members.map(memberAnswer),
    Ailments: ailments.map((ailment) => ({
      Kind: ailment.kind,
      Addr: ailment.host,
      ...("node" in ailment && ailment.node !== undefined ? { NodeID: ailment.node } : {}),
      ...("packets" in ailment && ailment.packets !== undefined
        ? { Packets: ailment.packets }
        : {}),
    })),
  };
}

function memberAnswer(member: GossipMemberReport): GossipMemberAnswer {
  const { nodeID, hostname, address, state, lag, agrees, answeredMsAgo } = member;
  return {
    ID: nodeID,
    Hostname: hostname,
    Addr: address,
    State: state,
    ...(lag === undefined ? {} : { Lag: lag }),
    ...(agrees === undefined ? {} : { Agrees: agrees }),
    ...(answeredMsAgo === undefined ? {} : { AnsweredMsAgo: answeredMsAgo }),
  };
}
