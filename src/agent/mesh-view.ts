/** The datapath's input from the mesh and what the keeper has: pure, the same facts, the same view. */
import { isIP } from "node:net";
import type { PortProblem } from "../cluster/objects.ts";
import { type OverlayLink, placeInOverlay } from "../datapath/overlay/view.ts";
import { type InterfaceAddresses, whyNowhere } from "../datapath/publish-places.ts";
import {
  type HostPort,
  type LocalLink,
  type MeshNode,
  type MeshPort,
  type MeshService,
  type MeshView,
  tunnelAddressOf,
} from "../datapath/view.ts";
import type { MeshConfig } from "../dispatcher/assignment.ts";
import type { KeeperEndpoint } from "../keeper/protocol.ts";
import { limitOf } from "./answered-at.ts";
import type { CorrectedMesh } from "./corrected-mesh.ts";
import { inNetworkOnNode, onNode } from "./on-node.ts";

export interface MeshFacts {
  readonly nodeID: string;
  readonly mesh: CorrectedMesh;
  readonly hostPorts: readonly HostPort[];
  readonly endpoints: readonly KeeperEndpoint[];
  readonly heldPorts: ReadonlySet<string>;
  /** Networks of this host's addresses, and interfaces, at which ports are answered whose service does not say; all when absent or empty. */
  readonly publishDefault?: readonly string[];
}

/** Undefined while the mesh has no network, or this node no place in it. */
export function meshView(facts: MeshFacts): MeshView | undefined {
  const { mesh, nodeID, publishDefault = [] } = facts;
  const self = mesh.nodes.find((node) => node.nodeID === nodeID);
  if (mesh.network === undefined || self === undefined) return undefined;
  const localLinks = localLinksOf(facts.endpoints);
  const linked = new Set(localLinks.map(({ address }) => address));
  return {
    revision: mesh.revision,
    self,
    peers: mesh.nodes.filter((node) => node.nodeID !== nodeID && isOfFamily(node, self)),
    subnet: mesh.network.subnet,
    ...(mesh.network.subnet6 === undefined ? {} : { subnet6: mesh.network.subnet6 }),
    ...(mesh.network.mtu === undefined ? {} : { mtu: mesh.network.mtu }),
    vni: mesh.network.vni,
    dataPathPort: mesh.network.dataPathPort,
    services: mesh.services
      .filter(({ ports, endpoints }) => ports.length > 0 || endpoints.length > 0)
      .map((service) => withoutGone(service, self.index, linked))
      .map((service) => boundService(service, publishDefault)),
    networks: mesh.networks,
    hostPorts: boundPorts(facts.hostPorts, publishDefault),
    localLinks,
    overlayLinks: overlayLinksOf(facts.endpoints),
    heldPorts: facts.heldPorts,
  };
}

/** Ports that this host answers nowhere, as it has none of the interfaces that they are answered at. */
export function placelessPorts(
  { services, hostPorts }: MeshView,
  interfaces: InterfaceAddresses,
): readonly PortProblem[] {
  const placeless: PortProblem[] = [];
  const look = (port: MeshPort) => {
    const reason = port.boundTo && whyNowhere(port, interfaces);
    const { protocol, publishedPort } = port;
    if (reason !== undefined) placeless.push({ protocol, publishedPort, reason });
  };
  // One by one, as there may be ten thousand services.
  for (const { ports } of services) ports.forEach(look);
  hostPorts.forEach(look);
  return placeless;
}

/** This node's endpoints that managers still tell and whose link is gone. */
export function goneEndpoints({
  mesh,
  nodeID,
  endpoints,
}: Pick<MeshFacts, "nodeID" | "endpoints"> & { readonly mesh: MeshConfig }): readonly string[] {
  const self = mesh.nodes.find((node) => node.nodeID === nodeID);
  if (self === undefined) return [];
  const linked = new Set(localLinksOf(endpoints).map(({ address }) => address));
  const gone = new Set<string>();
  // One by one, as there may be a hundred thousand and only some are here.
  for (const { endpoints: told } of mesh.services) {
    for (const { taskID, address, state } of onNode(told, self.index)) {
      // One that starts has no link yet.
      if (state !== "starting" && !linked.has(address)) gone.add(taskID);
    }
  }
  const joined = new Set(
    endpoints.flatMap(({ state, vni, address }) =>
      state === "joined" && vni !== undefined ? [placeInOverlay(vni, address)] : [],
    ),
  );
  for (const network of mesh.networks) {
    for (const { taskID, state, addresses } of inNetworkOnNode(network, self.index)) {
      const place = placeInOverlay(network.vni, addresses[0] ?? "");
      if (state !== "starting" && !joined.has(place)) gone.add(taskID);
    }
  }
  return [...gone];
}

/** A tunnel has ends of one family. */
function isOfFamily(a: MeshNode, b: MeshNode): boolean {
  return isIP(tunnelAddressOf(a)) === isIP(tunnelAddressOf(b));
}

/** Ports of the mesh that every node is to hold. */
export function meshPortsOf(mesh: MeshConfig): readonly MeshPort[] {
  return mesh.services.flatMap(({ ports }) => ports);
}

const bound = new WeakMap<
  MeshService,
  { readonly by: readonly string[]; readonly made: MeshService }
>();

/** The very same for the very same service: the node's default does not change while it runs. */
function boundService(service: MeshService, publishDefault: readonly string[]): MeshService {
  const known = bound.get(service);
  if (known?.by === publishDefault) return known.made;
  const ports = boundPorts(service.ports, publishDefault);
  const made = ports === service.ports ? service : { ...service, ports };
  bound.set(service, { by: publishDefault, made });
  return made;
}

/** Where its service says that a port is answered, or this node by default. The same list where that changes nothing. */
function boundPorts<Port extends MeshPort>(
  ports: readonly Port[],
  publishDefault: readonly string[],
): readonly Port[] {
  const standard = limitOf(publishDefault);
  const isAsMeant = ({ boundTo }: Port) =>
    boundTo === undefined ? standard === undefined : limitOf(boundTo) !== undefined;
  if (ports.every(isAsMeant)) return ports;
  return ports.map((port) => {
    const { boundTo: told, ...unbound } = port;
    const boundTo = told === undefined ? standard : limitOf(told);
    return { ...unbound, ...(boundTo === undefined ? {} : { boundTo }) } as Port;
  });
}

/** Those that are routed to: containers of overlay networks are on bridges. */
function localLinksOf(endpoints: readonly KeeperEndpoint[]): readonly LocalLink[] {
  return endpoints
    .filter(({ state, vni }) => state === "joined" && vni === undefined)
    .map(({ address, addressIPv6, link }) => ({
      ...{ address, link },
      ...(addressIPv6 === undefined ? {} : { address6: addressIPv6 }),
    }));
}

/** Without a sandbox nobody knows where the container is: an older keeper does not say it. */
function overlayLinksOf(endpoints: readonly KeeperEndpoint[]): readonly OverlayLink[] {
  return endpoints.flatMap(({ state, vni, address, link, sandboxKey: sandbox }) =>
    state === "joined" && vni !== undefined && sandbox !== undefined
      ? [{ vni, address, link, sandbox }]
      : [],
  );
}

/**
 * This node knows before any manager that a task of its own has lost its link: nothing is sent there any more. The very
 * same service where none has: the kernel's side finds what changed by that.
 */
function withoutGone(
  service: MeshService,
  selfIndex: number,
  linked: ReadonlySet<string>,
): MeshService {
  const own = onNode(service.endpoints, selfIndex);
  if (own.every(({ address }) => linked.has(address))) return service;
  const endpoints = service.endpoints.filter(
    ({ nodeIndex, address }) => nodeIndex !== selfIndex || linked.has(address),
  );
  return { ...service, endpoints };
}
