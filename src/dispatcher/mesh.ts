/**
 * The mesh as the store has it: services with their ingress ports, endpoints and the nodes between them.
 * Pure and incremental: a change of one service costs the same whether there are ten or ten thousand.
 */

import { isIP } from "node:net";
import { isDeepStrictEqual } from "node:util";
import { isOfIPv6 } from "../base/ip-address.ts";
import { reachableAddress } from "../cluster/cidr6.ts";
import { dataPathAddrOf, dataPathFamily } from "../cluster/finders.ts";
import type { Node, Task } from "../cluster/objects.ts";
import { publishAccess } from "../cluster/publish-labels.ts";
import type { Snapshot } from "../cluster/store.ts";
import type { MeshNode, MeshPort, PublishedTask } from "../datapath/view.ts";
import type { MeshConfig, ToldEndpoint, ToldService } from "./assignment.ts";
import { type EndpointEvidence, endpointState, startingOrState } from "./endpoint-state.ts";
import { diffKeyed, isEmptyDelta, type KeyedDelta } from "./keyed-delta.ts";
import { hasLeft } from "./node-state.ts";
import {
  mtuOf,
  NO_OVERLAYS,
  type Overlays,
  overlayNetworksOf,
  updateOverlays,
} from "./overlays.ts";

/** A MeshConfig with keys, never changed in place, that knows what it changed from. */
export interface MeshTable {
  readonly revision: number;
  readonly network: MeshConfig["network"];
  readonly nodes: ReadonlyMap<string, MeshNode>;
  readonly services: ReadonlyMap<string, ToldService>;
  /** All of them; a node is told those that it takes part in. */
  readonly overlays: Overlays;
}

/** What of it changed for every node alike. */
export interface MeshDelta {
  readonly revision: number;
  /** `null` when it went away; absent when it did not change. */
  readonly network?: NonNullable<MeshConfig["network"]> | null;
  readonly nodes: KeyedDelta<MeshNode>;
  readonly services: KeyedDelta<ToldService>;
}

/** What may have changed since the table was made. */
export type MeshDirt =
  | "all"
  | {
      readonly nodeIDs: ReadonlySet<string>;
      readonly serviceIDs: ReadonlySet<string>;
      /** Overlay networks. */
      readonly networkIDs: ReadonlySet<string>;
    };

export const EMPTY_MESH: MeshTable = {
  revision: 0,
  network: undefined,
  nodes: new Map(),
  services: new Map(),
  overlays: NO_OVERLAYS,
};

/** The table for this snapshot; `before` itself when nothing in it changed. */
export function updateMesh(
  before: MeshTable,
  snapshot: Snapshot,
  evidence: EndpointEvidence,
  dirt: MeshDirt,
): MeshTable {
  const network = dirt === "all" ? keepEqual(before.network, networkOf(snapshot)) : before.network;
  const nodeIDs = dirt === "all" ? keysOf(before.nodes, snapshot.list("node")) : dirt.nodeIDs;
  const serviceIDs =
    dirt === "all"
      ? keysOf(
          before.services,
          [...before.overlays.networksOf.keys()].map((id) => ({ id })),
          snapshot.list("service"),
          servicesOfTasks(snapshot),
        )
      : dirt.serviceIDs;
  const family = dataPathFamily(snapshot);
  const nodes = replaceKeys(before.nodes, nodeIDs, (id) =>
    meshNodeOf(snapshot.get("node", id), family),
  );
  const services = replaceKeys(before.services, serviceIDs, (id) =>
    meshServiceOf(snapshot, id, evidence),
  );
  const networkIDs =
    dirt === "all" ? keysOf(before.overlays.tables, snapshot.list("network")) : dirt.networkIDs;
  const overlays = updateOverlays(before.overlays, snapshot, evidence, { networkIDs, serviceIDs });
  const isSame =
    before.revision !== 0 &&
    network === before.network &&
    nodes === before.nodes &&
    services === before.services &&
    overlays === before.overlays;
  // Evidence changes without a transaction, and yet what is confirmed must be told from what was before.
  const revision = Math.max(snapshot.revision, before.revision + 1);
  return isSame ? before : { revision, network, nodes, services, overlays };
}

/** What a node that has `before` must be told to have `after`. */
export function diffMesh(before: MeshTable, after: MeshTable): MeshDelta {
  return {
    revision: after.revision,
    ...(isDeepStrictEqual(before.network, after.network) ? {} : { network: after.network ?? null }),
    nodes: diffKeyed(before.nodes, after.nodes),
    services: diffKeyed(before.services, after.services),
  };
}

export function isEmptyMeshDelta(delta: MeshDelta): boolean {
  return delta.network === undefined && isEmptyDelta(delta.nodes) && isEmptyDelta(delta.services);
}

export function meshConfigOf(table: MeshTable): MeshConfig {
  return {
    revision: table.revision,
    ...(table.network === undefined ? {} : { network: table.network }),
    nodes: [...table.nodes.values()],
    services: [...table.services.values()],
    networks: overlayNetworksOf(table.overlays.tables),
  };
}

/** A task's address in the ingress network, without prefix length; absent when it publishes nothing there. */
export function ingressAddressOf(snapshot: Snapshot, task: Task): string | undefined {
  const attachment = task.networksAttachments.find(
    ({ network }) => snapshot.get("network", network.id)?.spec.ingress === true,
  );
  return attachment?.addresses[0]?.split("/")[0];
}

function networkOf(snapshot: Snapshot): MeshConfig["network"] {
  const network = snapshot.list("network").find(({ spec }) => spec.ingress);
  const subnets = network?.ipam.config.map((config) => config.subnet) ?? [];
  const subnet = subnets.find((one) => !isOfIPv6(one));
  const subnet6 = subnets.find(isOfIPv6);
  const [cluster] = snapshot.list("cluster");
  if (network === undefined || subnet === undefined || cluster === undefined) return undefined;
  const { dataPathPort } = cluster;
  const mtu = mtuOf(network);
  return {
    ...{ name: network.spec.name, subnet, vni: network.vni, dataPathPort },
    ...(subnet6 === undefined ? {} : { subnet6 }),
    ...(mtu === undefined ? {} : { mtu }),
  };
}

/** A node that is down stays a member: it comes back with its address, and may be a client meanwhile. One that left is a stranger. */
function meshNodeOf(node: Node | undefined, family: 4 | 6 | undefined): MeshNode | undefined {
  if (node?.index === undefined || node.ingressAddress === undefined) return undefined;
  const { addr: underlayAddress } = node.status;
  const tunnelAddress = dataPathAddrOf(node.status);
  // A tunnel's ends are of one family: another node's address would spoil everybody's.
  const isOfFamily = isIP(tunnelAddress) === (family ?? isIP(tunnelAddress));
  const areAddresses = [underlayAddress, tunnelAddress].every(
    (address) => reachableAddress(address) !== undefined,
  );
  if (hasLeft(node) || !areAddresses || !isOfFamily) return undefined;
  return {
    nodeID: node.id,
    index: node.index,
    underlayAddress,
    ...(tunnelAddress === underlayAddress ? {} : { tunnelAddress }),
    overlayAddress: node.ingressAddress,
    addresses: node.description?.addresses ?? [],
    ...(node.description?.publishDefault === undefined
      ? {}
      : { publishDefault: node.description.publishDefault }),
    ...(node.description?.interfaces === undefined
      ? {}
      : { interfaces: node.description.interfaces }),
    ...(node.status.state === "down" ? { down: true } : {}),
  };
}

/**
 * Ports are the service's of now, endpoints are its tasks' from when a node has them. Of a service that is gone, or no
 * longer publishes, the endpoints stay until they have ended, so that what is connected can finish.
 */
function meshServiceOf(
  snapshot: Snapshot,
  serviceID: string,
  evidence: EndpointEvidence,
): ToldService | undefined {
  const service = snapshot.get("service", serviceID);
  const tasks = snapshot.tasksOfService(serviceID);
  const endpoints = tasks
    .map((task) => meshEndpointOf(snapshot, task, evidence))
    .filter((endpoint) => endpoint !== undefined)
    .sort((a, b) => (a.taskID < b.taskID ? -1 : 1));
  const labels = service?.spec.labels ?? {};
  const allPorts = service?.endpoint?.ports ?? [];
  const ports = allPorts.flatMap(
    ({ protocol, publishMode, publishedPort, targetPort }): MeshPort[] =>
      publishMode === "ingress" && publishedPort !== undefined && protocol !== "sctp"
        ? [{ protocol, publishedPort, targetPort, ...publishAccess(labels, publishedPort) }]
        : [],
  );
  const published = tasks
    .flatMap((task) => publishedTasksOf(snapshot, task, evidence))
    .map((one): PublishedTask => {
      const { boundTo } = publishAccess(labels, one.publishedPort);
      return boundTo === undefined ? one : { ...one, boundTo };
    })
    .sort((a, b) => (a.taskID < b.taskID ? -1 : 1));
  // One that publishes is known by its name before its first task runs.
  if (allPorts.length === 0 && endpoints.length === 0 && published.length === 0) return undefined;
  const serviceName = service?.spec.name ?? tasks[0]?.serviceAnnotations.name ?? serviceID;
  const known = { serviceID, serviceName, ports, endpoints };
  return published.length === 0 ? known : { ...known, published };
}

/** The host-mode ports of a task that is given new connections, as its own node says that it has them. */
function publishedTasksOf(
  snapshot: Snapshot,
  task: Task,
  evidence: EndpointEvidence,
): readonly PublishedTask[] {
  const ports = task.status.portStatus?.ports ?? [];
  if (ports.length === 0 || task.status.state !== "running") return [];
  const node = memberOf(snapshot, task);
  if (node === undefined || endpointState(task, node, evidence) !== "live") return [];
  return ports.flatMap(({ protocol, publishMode, publishedPort, targetPort }) =>
    publishMode === "host" && publishedPort !== undefined && protocol !== "sctp"
      ? [{ taskID: task.id, protocol, publishedPort, targetPort, nodeIndex: node.index }]
      : [],
  );
}

/** A task's node, when it is a member. */
function memberOf(snapshot: Snapshot, { nodeID }: Task): (Node & IndexedNode) | undefined {
  const node = nodeID === undefined ? undefined : snapshot.get("node", nodeID);
  return node?.index === undefined ? undefined : { ...node, index: node.index };
}

interface IndexedNode {
  readonly index: number;
}

function meshEndpointOf(
  snapshot: Snapshot,
  task: Task,
  evidence: EndpointEvidence,
): ToldEndpoint | undefined {
  const node = memberOf(snapshot, task);
  if (node === undefined) return undefined;
  const address = ingressAddressOf(snapshot, task);
  const state = startingOrState(task, node, evidence);
  if (address === undefined || state === undefined) return undefined;
  const { ipv6Ports } = task.status;
  return {
    ...{ taskID: task.id, address, nodeIndex: node.index, state },
    ...(ipv6Ports === undefined ? {} : { ipv6Ports }),
  };
}

function servicesOfTasks(snapshot: Snapshot): { readonly id: string }[] {
  return snapshot.list("task").map((task) => ({ id: task.serviceID }));
}

function keysOf(
  before: ReadonlyMap<string, unknown>,
  ...lists: readonly (readonly { readonly id: string }[])[]
): ReadonlySet<string> {
  return new Set([...before.keys(), ...lists.flat().map(({ id }) => id)]);
}

/** `before` with these keys made anew; `before` itself when each came out as it was. */
function replaceKeys<V>(
  before: ReadonlyMap<string, V>,
  keys: ReadonlySet<string>,
  make: (key: string) => V | undefined,
): ReadonlyMap<string, V> {
  let after: Map<string, V> | undefined;
  for (const key of keys) {
    const value = make(key);
    if (isDeepStrictEqual(before.get(key), value)) continue;
    after ??= new Map(before);
    if (value === undefined) after.delete(key);
    else after.set(key, value);
  }
  return after ?? before;
}

function keepEqual<T>(before: T, after: T): T {
  return isDeepStrictEqual(before, after) ? before : after;
}
