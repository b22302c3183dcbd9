/**
 * The names that this node answers for, from what the managers told: those of each network that has a task here, and
 * those for balancers outside of containers. Pure; of what did not change the same value comes out again, so that what
 * is to be told is found by looking, not by comparing.
 */
import type { OverlayEndpoint, OverlayNetwork, OverlayService } from "../datapath/overlay/view.ts";
import type { MeshNode, MeshService } from "../datapath/view.ts";
import {
  type NamedPort,
  type NameEntry,
  type NameGroup,
  type NameSetChange,
  networkSetID,
} from "../keeper/dns/names.ts";
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

export function networkNames(network: OverlayNetwork): NameSet {
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
    ...mesh.services.map((service) => memoized(service, publishedGroup)),
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

function nodeGroup({ index, underlayAddress }: MeshNode): NameGroup {
  const names = [nodeName(index)];
  return { id: `node ${index}`, entries: [{ names, addresses: [underlayAddress] }] };
}

function allNodesGroup(nodes: readonly MeshNode[]): NameGroup {
  const hosts = nodes.filter(({ down }) => down !== true).map(({ index }) => nodeName(index));
  return { id: "all nodes", entries: [{ names: [ALL_NODES], hosts: hosts.toSorted() }] };
}

/** Through the mesh a service is at every node, in host mode where its live tasks are. */
function publishedGroup({ serviceID, serviceName, ports, published = [] }: MeshService): NameGroup {
  const name = serviceName.toLowerCase();
  const own = [...new Set(published.map(({ nodeIndex }) => nodeName(nodeIndex)))];
  const hosts = ports.length > 0 ? [ALL_NODES] : own;
  const served = new Map<string, NamedPort[]>();
  const serve = (port: number, protocol: string, at: NamedPort) => {
    const key = `_${port}._${protocol}.${name}`;
    served.set(key, [...(served.get(key) ?? []), at]);
  };
  for (const { protocol, publishedPort, targetPort } of ports) {
    serve(targetPort, protocol, { host: ALL_NODES, port: publishedPort });
  }
  for (const { protocol, publishedPort, targetPort, nodeIndex } of published) {
    serve(targetPort, protocol, { host: nodeName(nodeIndex), port: publishedPort });
  }
  // By its published number too, where that is no other port's target.
  for (const { protocol, publishedPort } of ports) {
    if (served.has(`_${publishedPort}._${protocol}.${name}`)) continue;
    serve(publishedPort, protocol, { host: ALL_NODES, port: publishedPort });
  }
  const entries = [...served].map(([key, at]): NameEntry => ({ names: [key], ports: at }));
  return { id: serviceID, entries: [{ names: [name], hosts }, ...entries] };
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
