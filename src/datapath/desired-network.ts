/** The links, routes, neighbours and settings this node should have. */
import type { HostFacts } from "./facts.ts";
import {
  acceptRA,
  disableIPv6,
  SYSCTL_COUNT_FLOWS,
  SYSCTL_IP_FORWARD,
  SYSCTL_IP6_FORWARD,
} from "./facts.ts";
import type { NetworkState, Route, RoutingRule, TaskLink, VxlanLink } from "./ip/state.ts";
import { routeKey, ruleKey } from "./ip/state.ts";
import { ipv6Of } from "./ipv6.ts";
import type { MarkLayout } from "./mark.ts";
import type { Ways } from "./mesh.ts";
import { endpointsByAddress } from "./mesh.ts";
import {
  LINK,
  NOWHERE,
  NOWHERE6,
  overlayMAC,
  REPLY_NEXT_HOP,
  REPLY_NEXT_HOP_MAC,
  REPLY_NEXT_HOP6,
  REPLY_RULE_PRIORITY,
  REPLY_TABLE,
  vxlanOverhead,
} from "./names.ts";
import { type MeshView, tunnelAddressOf } from "./view.ts";

/** The links, routes, neighbours and settings this node should have. */
export function desiredNetwork(
  view: MeshView,
  ways: Ways,
  facts: HostFacts,
  mark: MarkLayout,
): NetworkState {
  const { subnet6 } = view;
  const gateways = { up: true, gateway: true, gateway6: subnet6 !== undefined };
  // A host without tasks has no replies to lead back, and every routing rule is walked by all that it routes.
  const rules = (
    view.localLinks.length === 0 ? [] : [view.subnet, ...(subnet6 === undefined ? [] : [subnet6])]
  ).map((subnet) => replyRule(subnet, mark));
  return {
    links: new Map([[LINK, tunnel(view, facts)]]),
    taskLinks: new Map(linksOf(view, facts).map((link): [string, TaskLink] => [link, gateways])),
    addresses: new Map(ownAddresses(view).map((address) => [`${LINK} ${address}`, true])),
    routes: routes(view, ways),
    rules: new Map(rules.map((rule) => [ruleKey(rule), rule])),
    neighbours: new Map(neighbours(view)),
    fdb: new Map(
      view.peers.map((peer) => [overlayMAC(peer.overlayAddress), tunnelAddressOf(peer)]),
    ),
    sysctls: sysctls(view, facts),
  };
}

/** What the tunnel's packets may have inside, and the tasks'. */
export function meshMTU({ self, mtu = Infinity }: MeshView, uplinkMTU: number): number {
  return Math.min(mtu, uplinkMTU - vxlanOverhead(tunnelAddressOf(self)));
}

function tunnel(view: MeshView, facts: HostFacts): VxlanLink {
  return {
    vni: view.vni,
    port: view.dataPathPort,
    local: tunnelAddressOf(view.self),
    learning: false,
    mac: overlayMAC(view.self.overlayAddress),
    mtu: meshMTU(view, facts.uplinkMTU),
    up: true,
  };
}

function ownAddresses({ self, subnet, subnet6 }: MeshView): string[] {
  const own = `${self.overlayAddress}/32`;
  return subnet6 === undefined
    ? [own]
    : [own, `${ipv6Of(subnet6, subnet, self.overlayAddress)}/128`];
}

function neighbours({ peers, subnet, subnet6 }: MeshView): [string, string][] {
  const found: [string, string][] = [[REPLY_NEXT_HOP, REPLY_NEXT_HOP_MAC]];
  if (subnet6 !== undefined) found.push([REPLY_NEXT_HOP6, REPLY_NEXT_HOP_MAC]);
  for (const { overlayAddress } of peers) {
    const mac = overlayMAC(overlayAddress);
    found.push([overlayAddress, mac]);
    if (subnet6 !== undefined) found.push([ipv6Of(subnet6, subnet, overlayAddress), mac]);
  }
  return found;
}

/**
 * A task is its own next hop: to the kernel it then is behind a gateway, and a packet that it is led to itself
 * is no reason for an ICMP redirect. Those would use up what the kernel grants an address by ICMP, and the
 * next refused datagram would be refused in silence.
 */
function routes(view: MeshView, ways: Ways): Map<string, Route> {
  const main = { table: "main", device: LINK };
  const made: Route[] = view.peers.map((peer) => ({ ...main, destination: peer.overlayAddress }));
  for (const endpoint of endpointsByAddress(view).values()) {
    const way = ways.of(endpoint);
    if (way?.kind !== "remote") continue;
    made.push({ ...main, destination: endpoint.address, via: way.via.overlayAddress });
  }
  for (const { address } of view.localLinks) {
    const way = ways.local(address);
    if (way?.kind !== "local") continue;
    made.push({ table: "main", destination: address, device: way.link, via: address });
  }
  // A host without a default route would drop what is meant for a task that is gone before any rule sees it.
  made.push({ table: "main", destination: view.subnet, device: NOWHERE });
  made.push({
    table: `${REPLY_TABLE}`,
    destination: "default",
    device: LINK,
    via: REPLY_NEXT_HOP,
  });
  const all = view.subnet6 === undefined ? made : [...made, ...routes6(view, view.subnet6, ways)];
  return new Map(all.map((route) => [routeKey(route), route]));
}

/**
 * As in IPv4, but a task is on its link and not its own next hop: where its address was another node's before, the
 * kernel refuses that. Only tasks that serve IPv6 are led to.
 */
function routes6(view: MeshView, subnet6: string, ways: Ways): Route[] {
  const main = { table: "main", device: LINK };
  const of = (address: string) => ipv6Of(subnet6, view.subnet, address);
  const made: Route[] = view.peers.map((peer) => ({
    ...main,
    destination: of(peer.overlayAddress),
  }));
  for (const endpoint of endpointsByAddress(view).values()) {
    const way = ways.of(endpoint);
    if (way?.kind !== "remote" || endpoint.ipv6Ports === undefined) continue;
    made.push({ ...main, destination: of(endpoint.address), via: of(way.via.overlayAddress) });
  }
  for (const { address, address6 } of view.localLinks) {
    const way = ways.local(address);
    if (way?.kind !== "local" || address6 === undefined) continue;
    made.push({ table: "main", destination: address6, device: way.link });
  }
  made.push({ ...main, destination: subnet6, via: NOWHERE6 });
  const table = `${REPLY_TABLE}`;
  made.push({ table, destination: "::/0", device: LINK, via: REPLY_NEXT_HOP6 });
  return made;
}

/** One rule for all nodes: the route's neighbour is nobody, and the egress hook puts the right node's MAC address. */
function replyRule(subnet: string, mark: MarkLayout): RoutingRule {
  return {
    priority: REPLY_RULE_PRIORITY,
    from: subnet,
    mark: mark.flag,
    mask: mark.flag,
    table: `${REPLY_TABLE}`,
  };
}

/** Those of the tasks' links that are there. */
function linksOf(view: MeshView, facts: HostFacts): string[] {
  return view.localLinks.map(({ link }) => link).filter((link) => facts.links.has(link));
}

/** Of the values of rp_filter. The kernel takes the larger of a link's and of `all`, so 0 would not do where that is 1. */
const LOOSE = "2";

/**
 * A client's packet comes in by the tunnel though its address is routed elsewhere: reverse-path filtering is loose. By
 * the tunnel only members send, and the rules look at a flow's first packet; so where the host does not filter all
 * links, the kernel is spared looking up every packet's source, which takes `accept_local` too, as it otherwise does
 * as soon as the host has a routing rule. 127.0.0.1 as a client's address.
 * A host that forwards IPv6 takes no router advertisements unless it is told: that comes before the forwarding,
 * which would take its default routes away.
 */
function sysctls(view: MeshView, facts: HostFacts): Map<string, string> {
  const settings: [string, string][] = [
    ...(facts.canCount ? [[SYSCTL_COUNT_FLOWS, "1"] satisfies [string, string]] : []),
    [`net/ipv4/conf/${LINK}/rp_filter`, facts.filtersPaths ? LOOSE : "0"],
    [`net/ipv4/conf/${LINK}/accept_local`, "1"],
    [`net/ipv4/conf/${LINK}/route_localnet`, "1"],
    ...linksOf(view, facts).flatMap((link): [string, string][] => [
      [`net/ipv4/conf/${link}/rp_filter`, LOOSE],
      [`net/ipv4/conf/${link}/route_localnet`, "1"],
    ]),
  ];
  if (view.subnet6 !== undefined) {
    const links = [LINK, ...linksOf(view, facts)];
    settings.push(...links.map((link): [string, string] => [disableIPv6(link), "0"]));
  }
  if (!facts.forwarding) return new Map(settings);
  const routers = facts.advertised.map((link): [string, string] => [acceptRA(link), "2"]);
  const forwarding6: [string, string][] =
    view.subnet6 === undefined ? [] : [...routers, [SYSCTL_IP6_FORWARD, "1"]];
  return new Map([[SYSCTL_IP_FORWARD, "1"], ...forwarding6, ...settings]);
}
