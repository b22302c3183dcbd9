/** A service's endpoint: its ports and, for ingress ports in vip mode, its virtual IP in the ingress network. Pure. */
import type { Endpoint, EndpointSpec, Network, Service, VirtualIP } from "../cluster/objects.ts";
import { sameValue } from "../cluster/same-value.ts";
import type { AddressPool } from "./address-pool.ts";
import { isIngress, type PortSpace } from "./ports.ts";

/** The ingress network with what is free in it. */
export interface IngressPool {
  readonly network: Network;
  readonly pool: AddressPool;
}

export type EndpointResult =
  | { readonly kind: "endpoint"; readonly endpoint: Endpoint }
  | { readonly kind: "refused"; readonly reason: string };

export const NO_INGRESS_NETWORK =
  "service needs ingress network, but no ingress network is present";
const NO_FREE_VIP = "could not find an available IP while allocating VIP";

/** Whether the service's endpoint is what its spec asks for, so that nothing is to be done. */
export function isEndpointCurrent(service: Service, network: Network | undefined): boolean {
  const { endpoint } = service;
  if (endpoint === undefined || !sameValue(endpoint.spec, endpointSpecOf(service))) return false;
  const networks = endpoint.virtualIPs.map(({ networkID }) => networkID);
  return sameValue(networks, needsVirtualIP(service) ? [network?.id] : []);
}

export function allocateEndpoint(
  service: Service,
  ingress: IngressPool | undefined,
  ports: PortSpace,
): EndpointResult {
  if (publishesPorts(service) && ingress === undefined) {
    return { kind: "refused", reason: NO_INGRESS_NETWORK };
  }
  const virtualIP = needsVirtualIP(service) ? virtualIPOf(service, ingress) : undefined;
  if (needsVirtualIP(service) && virtualIP === undefined) {
    return { kind: "refused", reason: NO_FREE_VIP };
  }
  const allocated = ports.allocate(service);
  if (allocated.kind === "refused") return allocated;
  const virtualIPs = virtualIP === undefined ? [] : [virtualIP];
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

function needsVirtualIP(service: Service): boolean {
  const spec = endpointSpecOf(service);
  return spec.mode === "vip" && spec.ports.some(isIngress);
}

function virtualIPOf(service: Service, ingress: IngressPool | undefined): VirtualIP | undefined {
  if (ingress === undefined) return undefined;
  const { network, pool } = ingress;
  const old = service.endpoint?.virtualIPs.find(({ networkID }) => networkID === network.id);
  if (old !== undefined) return old;
  const address = pool.take();
  return address === undefined
    ? undefined
    : { networkID: network.id, addr: pool.withPrefixLength(address) };
}
