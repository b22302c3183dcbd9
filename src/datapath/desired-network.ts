/** The links, routes, neighbours and settings this node should have. */
import type { HostFacts } from "./facts.ts";
import { SYSCTL_IP_FORWARD } from "./facts.ts";
import type { NetworkState, Route, TaskLink, VxlanLink } from "./ip/state.ts";
import { routeKey } from "./ip/state.ts";
import type { MarkLayout } from "./mark.ts";
import type { Ways } from "./mesh.ts";
import { endpointsByAddress } from "./mesh.ts";
import {
  LINK,
  NOWHERE,
  overlayMAC,
  REPLY_NEXT_HOP,
  REPLY_NEXT_HOP_MAC,
  REPLY_RULE_PRIORITY,
  REPLY_TABLE,
  VXLAN_OVERHEAD,
} from "./names.ts";
import type { MeshView } from "./view.ts";

/** The links, routes, neighbours and settings this node should have. */
export function desiredNetwork(
  view: MeshView,
  ways: Ways,
  facts: HostFacts,
  mark: MarkLayout,
): NetworkState {
  return {
    links: new Map([[LINK, tunnel(view, facts)]]),
    taskLinks: new Map(
      linksOf(view, facts).map((link): [string, TaskLink] => [link, { up: true, gateway: true }]),
    ),
    addresses: new Map([[`${LINK} ${view.self.overlayAddress}/32`, true]]),
    routes: routes(view, ways),
    rules: new Map([[`${REPLY_RULE_PRIORITY}`, replyRule(view, mark)]]),
    neighbours: new Map([
      [REPLY_NEXT_HOP, REPLY_NEXT_HOP_MAC],
      ...view.peers.map((peer) => [peer.overlayAddress, overlayMAC(peer.overlayAddress)] as const),
    ]),
    fdb: new Map(view.peers.map((peer) => [overlayMAC(peer.overlayAddress), peer.underlayAddress])),
    sysctls: sysctls(view, facts),
  };
}

function tunnel(view: MeshView, facts: HostFacts): VxlanLink {
  return {
    vni: view.vni,
    port: view.dataPathPort,
    local: view.self.underlayAddress,
    learning: false,
    mac: overlayMAC(view.self.overlayAddress),
    mtu: facts.uplinkMTU - VXLAN_OVERHEAD,
    up: true,
  };
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
  return new Map(made.map((route) => [routeKey(route), route]));
}

/** One rule for all nodes: the route's neighbour is nobody, and the egress hook puts the right node's MAC address. */
function replyRule(view: MeshView, mark: MarkLayout) {
  return {
    priority: REPLY_RULE_PRIORITY,
    from: view.subnet,
    mark: mark.flag,
    mask: mark.flag,
    table: `${REPLY_TABLE}`,
  };
}

/** Those of the tasks' links that are there. */
function linksOf(view: MeshView, facts: HostFacts): string[] {
  return view.localLinks.map(({ link }) => link).filter((link) => facts.links.has(link));
}

/**
 * Loose reverse-path filtering, because a client's packet comes in by the tunnel and its address is routed
 * elsewhere (2, not 0: the kernel takes the larger of this and `all`); 127.0.0.1 as a client's address.
 */
function sysctls(view: MeshView, facts: HostFacts): Map<string, string> {
  const settings: [string, string][] = [LINK, ...linksOf(view, facts)].flatMap((link) => [
    [`net/ipv4/conf/${link}/rp_filter`, "2"],
    [`net/ipv4/conf/${link}/route_localnet`, "1"],
  ]);
  if (facts.forwarding) settings.unshift([SYSCTL_IP_FORWARD, "1"]);
  return new Map(settings);
}
