/** A service's endpoint: its ports and, in vip mode, its virtual IP in each network that it is reached in. Pure. */
import { findIngressNetwork, serviceNetworks } from "../cluster/finders.ts";
import type { Endpoint, EndpointSpec, Network, Service, VirtualIP } from "../cluster/objects.ts";
import { sameValue } from "../cluster/same-value.ts";
import type { Snapshot } from "../cluster/store.ts";
import type { NetworkPools } from "./network-pools.ts";
import { isIngress, type PortSpace } from "./ports.ts";

export type EndpointResult =
  | { readonly kind: "endpoint"; readonly endpoint: Endpoint }
  | { readonly kind: "refused"; readonly reason: string };

export const NO_INGRESS_NETWORK =
  "service needs ingress network, but no ingress network is present";
/** Docker's text, which its log alone shows, and where. */
const noFreeVIP = (network: Network) =>
  `could not find an available IP while allocating VIP in network ${network.spec.name}`;

/** Whether the service's endpoint is what its spec asks for, so that nothing is to be done. */
export function isEndpointCurrent(snapshot: Snapshot, service: Service): boolean {
  const { endpoint } = service;
  if (endpoint === undefined || !sameValue(endpoint.spec, endpointSpecOf(service))) return false;
  if (publishesPorts(service) && findIngressNetwork(snapshot) === undefined) return false;
  const wanted = virtualNetworks(snapshot, service).map(({ id }) => id);
  const has = [...new Set(endpoint.virtualIPs.map(({ networkID }) => networkID))];
  return sameValue(has, wanted);
}

export function allocateEndpoint(
  snapshot: Snapshot,
  service: Service,
  pools: NetworkPools,
  ports: PortSpace,
): EndpointResult {
  if (publishesPorts(service) && findIngressNetwork(snapshot) === undefined) {
    return { kind: "refused", reason: NO_INGRESS_NETWORK };
  }
  const virtualIPs: VirtualIP[] = [];
  for (const network of virtualNetworks(snapshot, service)) {
    const given = virtualIPsIn(network, service, pools);
    if (given === undefined) return { kind: "refused", reason: noFreeVIP(network) };
    virtualIPs.push(...given);
  }
  const allocated = ports.allocate(service);
  if (allocated.kind === "refused") return allocated;
  const spec = endpointSpecOf(service);
  return { kind: "endpoint", endpoint: { spec, ports: allocated.ports, virtualIPs } };
}

/** Whether its tasks need an address in the ingress network: for ports of either mode. */
export function publishesPorts(service: Service): boolean {
  return endpointSpecOf(service).ports.length > 0;
}

function endpointSpecOf(service: Service): EndpointSpec {
  return service.spec.endpointSpec ?? { mode: "vip", ports: [] };
}

/** The ingress network first, where a port is published in it; each network once, however often it is named. */
function virtualNetworks(snapshot: Snapshot, service: Service): readonly Network[] {
  const spec = endpointSpecOf(service);
  if (spec.mode !== "vip") return [];
  const ingress = spec.ports.some(isIngress) ? findIngressNetwork(snapshot) : undefined;
  const own = serviceNetworks(snapshot, service.spec).map(({ network }) => network);
  return [...new Set(ingress === undefined ? own : [ingress, ...own])];
}

/** Those that the service has, over all its life; else new ones. */
function virtualIPsIn(
  network: Network,
  service: Service,
  pools: NetworkPools,
): readonly VirtualIP[] | undefined {
  const old = (service.endpoint?.virtualIPs ?? []).filter(
    ({ networkID }) => networkID === network.id,
  );
  if (old.length > 0) return old;
  return pools
    .of(network)
    .take()
    ?.map((addr) => ({ networkID: network.id, addr }));
}
