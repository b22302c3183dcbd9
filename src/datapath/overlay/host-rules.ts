/**
 * The host's rules for users' overlay networks, in a table of their own. They do not grow with networks, and the
 * networks' packets are no connections of the host's: addresses of different networks may be the same.
 */
import { byFamily } from "../../base/ip-address.ts";
import { BRIDGE_PREFIX } from "../../base/overlay-links.ts";
import type { Chain, ElementSet, Ruleset } from "../nft/ruleset.ts";
import { chain, setOf } from "../nft/ruleset.ts";
import type { LocalNetwork, OverlayPlace } from "./desired-links.ts";

export const OVERLAY_TABLE = "inet weft_overlay";

const PRIORITY_RAW = -300;
const PRIORITY_FILTER = 0;
/** As `iifname` and `oifname` read it. */
const BRIDGES = `"${BRIDGE_PREFIX}*"`;

/** The rules for these networks; none where there is none. */
export function hostRules(place: OverlayPlace, networks: readonly LocalNetwork[]): Ruleset {
  if (networks.length === 0) return new Map();
  const members = byFamily([...new Set(place.peers.values())]);
  const sets: [string, ElementSet][] = [
    [
      "vnis",
      setOf(
        "typeof @th,96,24",
        networks.map(({ vni }) => `${vni}`),
      ),
    ],
    ["members", setOf("type ipv4_addr", members.ipv4)],
    ["members6", setOf("type ipv6_addr", members.ipv6)],
  ];
  const filter = (hook: "prerouting" | "input" | "forward", priority: number, rules: string[]) =>
    chain(rules, { type: "filter", hook, priority });
  const chains: [string, Chain][] = [
    ["from_tunnel", chain(fromTunnel())],
    ["raw_prerouting", filter("prerouting", PRIORITY_RAW, rawPrerouting(place))],
    ["guard_input", filter("input", PRIORITY_FILTER, [`iifname ${BRIDGES} drop`])],
    ["guard_forward", filter("forward", PRIORITY_FILTER, guardForward())],
  ];
  return new Map([[OVERLAY_TABLE, { sets: new Map(sets), chains: new Map(chains) }]]);
}

/** With br_netfilter, frames between containers of one bridge come by here, and would be connections of the host's. */
function rawPrerouting({ dataPathPort }: OverlayPlace): string[] {
  return [
    `iifname ${BRIDGES} notrack`,
    `udp dport ${dataPathPort} @th,96,24 @vnis jump from_tunnel`,
  ];
}

/**
 * What comes out of a tunnel is in the network, so only members may put something in: nobody outside, and no
 * container of this host that sends to a member what looks like a tunnel's packet. Other tunnels' VNIs are not
 * Weft's. A member's packet is looked at once.
 */
function fromTunnel(): string[] {
  return [
    "ip saddr @members return",
    "ip6 saddr @members6 return",
    "fib daddr type local drop",
    "ip daddr @members drop",
    "ip6 daddr @members6 drop",
  ];
}

/** Nothing is routed into a network or out of it: what is on a bridge stays there. */
function guardForward(): string[] {
  return [
    `iifname ${BRIDGES} oifname != ${BRIDGES} drop`,
    `iifname != ${BRIDGES} oifname ${BRIDGES} drop`,
  ];
}
