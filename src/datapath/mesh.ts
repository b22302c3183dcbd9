/** What both halves of the desired state ask about a view: which endpoints are reachable from here, and how. */
import { ipv6Of } from "./ipv6.ts";
import type { HostPort, MeshEndpoint, MeshNode, MeshPort, MeshService, MeshView } from "./view.ts";
import { portKey } from "./view.ts";

/** Where a packet for an endpoint goes from this node. */
export type Way =
  | { readonly kind: "local"; readonly link: string }
  | { readonly kind: "remote"; readonly via: MeshNode };

/** A port that is answered here, with where it leads: at least one live endpoint that has a way. */
export interface AnsweredPort {
  readonly port: MeshPort;
  readonly targets: readonly string[];
  /** Those of them that serve it over IPv6 too, by their IPv6 addresses. */
  readonly targets6: readonly string[];
}

/** The ways of a view, computed once. */
export class Ways {
  readonly #self: number;
  readonly #links: ReadonlyMap<string, string>;
  readonly #peers: ReadonlyMap<number, Way>;

  /** `links`: the names of the links that exist. A task's link that vanished is no way. */
  constructor(view: MeshView, links: ReadonlySet<string>) {
    this.#self = view.self.index;
    this.#peers = new Map(view.peers.map((via) => [via.index, { kind: "remote", via }]));
    const present = view.localLinks.filter((local) => links.has(local.link));
    this.#links = new Map(present.map((local) => [local.address, local.link]));
  }

  /** Undefined when the endpoint is on a node that is no peer, or its link is not there (yet, or any more). */
  of(endpoint: MeshEndpoint): Way | undefined {
    if (endpoint.nodeIndex === this.#self) return this.local(endpoint.address);
    return this.#peers.get(endpoint.nodeIndex);
  }

  local(address: string): Way | undefined {
    const link = this.#links.get(address);
    return link === undefined ? undefined : { kind: "local", link };
  }
}

/** The ports that lead somewhere, in the view's order. A port that is not held is some process's and is not among them. */
export function* answeredPorts(view: MeshView, ways: Ways): Generator<AnsweredPort> {
  for (const port of view.hostPorts) {
    if (!isHeld(view, port) || ways.local(port.address) === undefined) continue;
    const targets = [`${port.address} . ${port.targetPort}`];
    yield { port, targets, targets6: port.ipv6 === true ? targets6(view, port, [port]) : [] };
  }
  for (const service of view.services) {
    const live = liveEndpoints(service, ways);
    if (live.length === 0) continue;
    for (const port of service.ports) {
      if (!isHeld(view, port)) continue;
      const targets = live.map((endpoint) => `${endpoint.address} . ${port.targetPort}`);
      const key = portKey(port.protocol, port.targetPort);
      const serving6 = live.filter(({ ipv6Ports }) => ipv6Ports?.includes(key));
      yield { port, targets, targets6: targets6(view, port, serving6) };
    }
  }
}

function targets6(
  { subnet, subnet6 }: MeshView,
  { targetPort }: MeshPort,
  endpoints: readonly { readonly address: string }[],
): string[] {
  if (subnet6 === undefined) return [];
  return endpoints.map(({ address }) => `${ipv6Of(subnet6, subnet, address)} . ${targetPort}`);
}

/** Those that new connections are led to. */
export function liveEndpoints(service: MeshService, ways: Ways): MeshEndpoint[] {
  return service.endpoints.filter((one) => one.state === "live" && ways.of(one));
}

/** Every endpoint once, by address, live and draining; the host ports' tasks among them. */
export function endpointsByAddress(view: MeshView): Map<string, MeshEndpoint> {
  const endpoints = new Map<string, MeshEndpoint>();
  for (const port of view.hostPorts) endpoints.set(port.address, hostEndpoint(view, port));
  for (const service of view.services) {
    for (const endpoint of service.endpoints) endpoints.set(endpoint.address, endpoint);
  }
  return endpoints;
}

function hostEndpoint(view: MeshView, port: HostPort): MeshEndpoint {
  return {
    taskID: port.taskID,
    address: port.address,
    nodeIndex: view.self.index,
    state: "live",
    ...(port.ipv6 === true ? { ipv6Ports: [portKey(port.protocol, port.targetPort)] } : {}),
  };
}

function isHeld(view: MeshView, port: MeshPort): boolean {
  return view.heldPorts.has(portKey(port.protocol, port.publishedPort));
}
