/**
 * The names that this node answers for, from what the managers told: those of each network that has a task here, and
 * those for balancers outside of containers. Pure; of what did not change the same value comes out again, so that what
 * is to be told is found by looking, not by comparing.
 */
import type { OverlayEndpoint, OverlayNetwork, OverlayService } from "../datapath/overlay/view.ts";
import type { MeshNode, MeshPort, MeshService, PublishedTask } from "../datapath/view.ts";
import {
  type NamedPort,
  type NameEntry,
  type NameGroup,
  type NameSetChange,
  networkSetID,
} from "../keeper/dns/names.ts";
import { answeredAt } from "./answered-at.ts";
import type { CorrectedMesh } from "./corrected-mesh.ts";

export interface NameSet extends Pick<NameSetChange, "set" | "suffix" | "subnets" | "listen"> {
  readonly groups: readonly NameGroup[];
}

/** Where and as what a node answers to whoever is no container. */
export interface ZoneInit {
  /** As "weft". */
  readonly zone: string;
  /** `address:port`; empty to answer nowhere. */
  readonly listen: readonly string[];
}

/** Off the public side: whoever is to ask from elsewhere is given an address by the daemon's options. */
export const DEFAULT_ZONE: ZoneInit = { zone: "weft", listen: ["127.0.0.1:9353"] };

const networkSets = new WeakMap<OverlayNetwork, NameSet>();

/** The very same for the very same network. */
export function networkNames(network: OverlayNetwork): NameSet {
  const known = networkSets.get(network) ?? namesOfNetwork(network);
  networkSets.set(network, known);
  return known;
}

function namesOfNetwork(network: OverlayNetwork): NameSet {
  return {
    set: networkSetID(network.vni),
    suffix: network.name,
    subnets: network.subnets,
    groups: [
      ...network.services.map((service) => memoized(service, overlayServiceGroup)),
      ...network.containers.map((container) => memoized(container, containerGroup)),
    ],
  };
}

const ZONE_SET = "outside";
/** All nodes that answer, as one host. */
const ALL_NODES = "all.nodes";

export function zoneNames(
  mesh: Pick<CorrectedMesh, "nodes" | "services">,
  { zone, listen }: ZoneInit,
): NameSet {
  const groups = [
    ...mesh.nodes.map((node) => memoized(node, nodeGroup)),
    allNodesGroup(mesh.nodes),
    ...mesh.services.map((service) =>
      isLimited(service) ? limitedGroupOf(service, mesh.nodes) : memoized(service, publishedGroup),
    ),
  ];
  return { set: ZONE_SET, suffix: zone, subnets: [], listen, groups };
}

// ---- in a network ------------------------------------------------------------------------------

function overlayServiceGroup(service: OverlayService): NameGroup {
  const { serviceID, serviceName, aliases, virtualIPs, endpoints } = service;
  const names = [serviceName, ...aliases];
  const live = endpoints
    .filter(({ state }) => state === "live")
    .flatMap(({ addresses }) => addresses);
  const own: NameEntry =
    virtualIPs.length === 0
      ? { names: lower(names), addresses: live }
      : { names: lower(names), addresses: virtualIPs, reverse: serviceName.toLowerCase() };
  const tasks = { names: lower(names.map((name) => `tasks.${name}`)), addresses: live };
  return { id: serviceID, entries: [own, tasks, ...endpoints.map(endpointEntry)] };
}

function containerGroup(container: OverlayEndpoint): NameGroup {
  return { id: container.taskID, entries: [endpointEntry(container)] };
}

/** One that starts is reached by its own name: its peers may be what it waits for. One that drains is known, no more. */
function endpointEntry({ taskName, aliases, addresses, state }: OverlayEndpoint): NameEntry {
  const names = lower([taskName, ...aliases]);
  return state === "draining" ? { names } : { names, addresses, reverse: taskName.toLowerCase() };
}

// ---- outside -----------------------------------------------------------------------------------

function nodeName(index: number): string {
  return `${index}.nodes`;
}

/** Where it answers ports whose service does not say. */
function nodeGroup(node: MeshNode): NameGroup {
  const names = [nodeName(node.index)];
  const addresses = answeredAt(node, [undefined]);
  return { id: `node ${node.index}`, entries: [{ names, addresses }] };
}

function allNodesGroup(nodes: readonly MeshNode[]): NameGroup {
  const hosts = nodes
    .filter((node) => node.down !== true && answeredAt(node, [undefined]).length > 0)
    .map(({ index }) => nodeName(index));
  return { id: "all nodes", entries: [{ names: [ALL_NODES], hosts: hosts.toSorted() }] };
}

/** Through the mesh a service is at every node, in host mode where its live tasks are. */
function publishedGroup(service: MeshService): NameGroup {
  const { serviceID, serviceName, ports, published = [] } = service;
  const own = [...new Set(published.map(({ nodeIndex }) => nodeName(nodeIndex)))];
  const hosts = ports.length > 0 ? [ALL_NODES] : own;
  const at: PortHosts = {
    mesh: () => ALL_NODES,
    task: ({ nodeIndex }) => nodeName(nodeIndex),
  };
  const names = [serviceName.toLowerCase()];
  return { id: serviceID, entries: [{ names, hosts }, ...portEntries(service, at)] };
}

/** The host names that lead to a published port. */
interface PortHosts {
  readonly mesh: (port: MeshPort) => string;
  readonly task: (task: PublishedTask) => string;
}

function portEntries(
  { serviceName, ports, published = [] }: MeshService,
  hostOf: PortHosts,
): readonly NameEntry[] {
  const name = serviceName.toLowerCase();
  const served = new Map<string, NamedPort[]>();
  const serve = (port: number, protocol: string, at: NamedPort) => {
    const key = `_${port}._${protocol}.${name}`;
    served.set(key, [...(served.get(key) ?? []), at]);
  };
  for (const port of ports) {
    serve(port.targetPort, port.protocol, { host: hostOf.mesh(port), port: port.publishedPort });
  }
  for (const task of published) {
    serve(task.targetPort, task.protocol, { host: hostOf.task(task), port: task.publishedPort });
  }
  // By its published number too, where that is no other port's target.
  for (const port of ports) {
    const { protocol, publishedPort } = port;
    if (served.has(`_${publishedPort}._${protocol}.${name}`)) continue;
    serve(publishedPort, protocol, { host: hostOf.mesh(port), port: publishedPort });
  }
  return [...served].map(([key, at]): NameEntry => ({ names: [key], ports: at }));
}

// ---- outside, of a service whose labels say where its ports are answered ----------------------

function isLimited({ ports, published = [] }: MeshService): boolean {
  return [...ports, ...published].some(({ boundTo }) => boundTo !== undefined);
}

const limitedGroups = new WeakMap<
  MeshService,
  { readonly nodes: readonly MeshNode[]; readonly group: NameGroup }
>();

function limitedGroupOf(service: MeshService, nodes: readonly MeshNode[]): NameGroup {
  const known = limitedGroups.get(service);
  if (known?.nodes === nodes) return known.group;
  const group = limitedGroup(service, nodes);
  limitedGroups.set(service, { nodes, group });
  return group;
}

/** Each port at hosts of its own, which have the addresses at which nodes answer it. */
function limitedGroup(service: MeshService, nodes: readonly MeshNode[]): NameGroup {
  const { serviceID, serviceName, ports, published = [] } = service;
  const name = serviceName.toLowerCase();
  const up = nodes.filter(({ down }) => down !== true);
  const placeOf = (port: number, protocol: string) => `${port}-${protocol}.${name}.nodes`;
  const hosts = new Map<string, NameEntry>();
  const addHost = (place: string, node: MeshNode, boundTo: readonly string[] | undefined) => {
    const host = `${node.index}.${place}`;
    const addresses = answeredAt(node, [boundTo]);
    if (addresses.length > 0) hosts.set(host, { names: [host], addresses });
    return hosts.has(host) ? [host] : [];
  };
  for (const { publishedPort, protocol, boundTo } of ports) {
    const place = placeOf(publishedPort, protocol);
    const own = up.flatMap((node) => addHost(place, node, boundTo));
    hosts.set(place, { names: [place], hosts: own.toSorted() });
  }
  const reached = published.filter(({ publishedPort, protocol, boundTo, nodeIndex }) => {
    const node = up.find(({ index }) => index === nodeIndex);
    const place = placeOf(publishedPort, protocol);
    return node !== undefined && addHost(place, node, boundTo).length > 0;
  });
  const at: PortHosts = {
    mesh: ({ publishedPort, protocol }) => placeOf(publishedPort, protocol),
    task: ({ publishedPort, protocol, nodeIndex }) =>
      `${nodeIndex}.${placeOf(publishedPort, protocol)}`,
  };
  const own = { names: [name], addresses: addressesOfAll(service, up) };
  const entries = portEntries({ ...service, published: reached }, at);
  return { id: serviceID, entries: [own, ...hosts.values(), ...entries] };
}

/** Where all of its ports are answered; where any is, if nowhere all are. */
function addressesOfAll(
  { ports, published = [] }: MeshService,
  nodes: readonly MeshNode[],
): readonly string[] {
  const limitsAt = ({ index }: MeshNode) =>
    [
      ...ports,
      ...published.filter(({ nodeIndex }) => ports.length === 0 && nodeIndex === index),
    ].map(({ boundTo }) => boundTo);
  const asked = nodes
    .map((node) => ({ node, limits: limitsAt(node) }))
    .filter(({ limits }) => limits.length > 0);
  const all = asked.flatMap(({ node, limits }) => answeredAt(node, limits));
  if (all.length > 0) return all;
  const any = asked.flatMap(({ node, limits }) =>
    limits.flatMap((limit) => answeredAt(node, [limit])),
  );
  return [...new Set(any)];
}

function lower(names: readonly string[]): readonly string[] {
  return [...new Set(names.map((name) => name.toLowerCase()))];
}

const groups = new WeakMap<object, NameGroup>();

/** The managers' objects are never changed in place, and each has one group. */
function memoized<T extends object>(source: T, make: (source: T) => NameGroup): NameGroup {
  const known = groups.get(source);
  if (known !== undefined) return known;
  const made = make(source);
  groups.set(source, made);
  return made;
}
