/**
 * The links of users' overlay networks that this node should have: for each network a bridge and a VXLAN device,
 * and who is where on it. Nothing is learned and nothing flooded to other hosts: an address that the managers
 * have not told leads nowhere, and broadcast stays on its host.
 */

import { byFamily, canonicalIPv6, isOfIPv6 } from "../../base/ip-address.ts";
import { bridgeName, bridgeSettings, macOf, tunnelName } from "../../base/overlay-links.ts";
import { IPV6_MTU_MIN } from "../ipv6.ts";
import type { BridgePort, OverlayState, TunnelLink } from "./state.ts";
import { type OverlayLink, type OverlayNetwork, overlayEndpoints } from "./view.ts";

/** What all networks of a node have in common. */
export interface OverlayPlace {
  readonly selfIndex: number;
  /** Of this node, on the underlay: where its tunnels end. */
  readonly tunnelAddress: string;
  /** UDP port of all tunnels. */
  readonly dataPathPort: number;
  /** Whether the kernel has IPv6. */
  readonly ipv6: boolean;
  /** Of networks that name none. */
  readonly mtu: number;
  /** Where the other members' tunnels end, by index. */
  readonly peers: ReadonlyMap<number, string>;
}

/** A network that this node has a part in. */
export interface LocalNetwork {
  readonly vni: number;
  /** Undefined while the managers have not told it, or no more: then there is a bridge for the containers that are still here. */
  readonly network: OverlayNetwork | undefined;
  /** Of containers here, those whose link is there. */
  readonly links: readonly OverlayLink[];
}

/** As the kernel's tools print it: of several spellings of an IPv6 address, the one. */
export function spelled(address: string): string {
  return isOfIPv6(address) ? canonicalIPv6(address) : address;
}

/** The links that this node should have. */
export function desiredLinks(place: OverlayPlace, networks: readonly LocalNetwork[]): OverlayState {
  const made = new Draft(place);
  for (const network of networks) made.add(network);
  return made.state;
}

interface RemoteWay {
  readonly bridge: string;
  readonly tunnel: string;
  /** The other node on the underlay. */
  readonly peer: string;
}

class Draft {
  readonly #place: OverlayPlace;
  readonly state = {
    bridges: new Map<string, boolean>(),
    tunnels: new Map<string, TunnelLink>(),
    ports: new Map<string, BridgePort>(),
    entries: new Map<string, string>(),
    remotes: new Map<string, string>(),
    neighbours: new Map<string, string>(),
    sysctls: new Map<string, string>(),
  };

  constructor(place: OverlayPlace) {
    this.#place = place;
  }

  add({ vni, network, links }: LocalNetwork): void {
    const bridge = bridgeName(vni);
    const { bridges, ports, entries, sysctls } = this.state;
    bridges.set(bridge, true);
    const ipv6 = this.#hasIPv6(network);
    for (const [path, value] of bridgeSettings(bridge)) {
      if (ipv6 || !path.startsWith("net/ipv6/")) sysctls.set(path, value);
    }
    if (network !== undefined) this.#addTunnel(bridge, network);
    for (const { link, address } of links) {
      ports.set(link, { bridge, learning: false, flood: true, up: true });
      entries.set(`${bridge} ${macOf(address)}`, link);
    }
  }

  #addTunnel(bridge: string, network: OverlayNetwork): void {
    const { tunnelAddress, dataPathPort, selfIndex, peers } = this.#place;
    const tunnel = tunnelName(network.vni);
    this.state.tunnels.set(tunnel, {
      vni: network.vni,
      port: dataPathPort,
      local: tunnelAddress,
      learning: false,
      proxy: true,
      mtu: this.#mtuOf(network),
    });
    this.state.ports.set(tunnel, { bridge, learning: false, flood: false, up: true });
    for (const endpoint of overlayEndpoints(network)) {
      const peer = peers.get(endpoint.nodeIndex);
      if (endpoint.nodeIndex !== selfIndex && peer !== undefined) {
        const { addresses } = endpoint;
        const reached = this.#hasIPv6(network) ? addresses : byFamily(addresses).ipv4;
        this.#addRemote({ bridge, tunnel, peer }, reached);
      }
    }
  }

  #mtuOf(network: OverlayNetwork | undefined): number {
    return network?.mtu ?? this.#place.mtu;
  }

  /** Linux takes IPv6 from a link whose MTU is too small for it. */
  #hasIPv6(network: OverlayNetwork | undefined): boolean {
    return this.#place.ipv6 && this.#mtuOf(network) >= IPV6_MTU_MIN;
  }

  #addRemote({ bridge, tunnel, peer }: RemoteWay, addresses: readonly string[]): void {
    const { entries, remotes, neighbours } = this.state;
    const mac = macOf(addresses[0] ?? "");
    entries.set(`${bridge} ${mac}`, tunnel);
    remotes.set(`${tunnel} ${mac}`, peer);
    for (const address of addresses) neighbours.set(`${tunnel} ${spelled(address)}`, mac);
  }
}
