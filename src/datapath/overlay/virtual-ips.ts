/**
 * Where the virtual IPs of a network lead, seen from one node. The same for all of the network's containers there:
 * each balances in its own network namespace. Pure.
 */
import { isOfIPv6 } from "../../base/ip-address.ts";
import { type LocalNetwork, type OverlayPlace, spelled } from "./desired-links.ts";
import type { OverlayEndpoint } from "./view.ts";

/** One virtual IP with its endpoints' addresses of the same family. */
export interface VirtualIP {
  readonly address: string;
  /** Given new connections. */
  readonly live: readonly string[];
  /** Keeping those they have. */
  readonly draining: readonly string[];
}

/** Of all services of the network that have one; none while the managers have not told the network. */
export function virtualIPsOf(
  place: OverlayPlace,
  { network, links }: LocalNetwork,
): readonly VirtualIP[] {
  const here = new Set(links.map(({ address }) => address));
  const isReached = (endpoint: OverlayEndpoint) =>
    endpoint.nodeIndex === place.selfIndex
      ? here.has(endpoint.addresses[0] ?? "")
      : place.peers.has(endpoint.nodeIndex);
  return (network?.services ?? []).flatMap(({ virtualIPs, endpoints }) => {
    const reached = endpoints.filter(isReached);
    return virtualIPs.map((address) => ({
      address: spelled(address),
      live: addressesOf(reached, "live", address),
      draining: addressesOf(reached, "draining", address),
    }));
  });
}

function addressesOf(
  endpoints: readonly OverlayEndpoint[],
  state: OverlayEndpoint["state"],
  virtualIP: string,
): readonly string[] {
  const isOfFamily = (address: string) => isOfIPv6(address) === isOfIPv6(virtualIP);
  return endpoints
    .filter((endpoint) => endpoint.state === state)
    .flatMap(({ addresses }) => addresses.find(isOfFamily) ?? [])
    .map(spelled);
}
