/**
 * What the allocator has to give, from a snapshot: pure. Services first get their ports and virtual IP,
 * nodes their number and address, then each new task its address; what cannot be given is said on the
 * task, and tried again whenever something was given back.
 */
import { findIngressNetwork } from "../cluster/finders.ts";
import type { NetworkAttachment, Node, Service, Task } from "../cluster/objects.ts";
import type { Snapshot } from "../cluster/store.ts";
import { isOver, isWanted } from "../cluster/task-lifecycle.ts";
import { AddressPool, addressRange } from "./address-pool.ts";
import {
  allocateEndpoint,
  type EndpointResult,
  type IngressPool,
  isEndpointCurrent,
  NO_INGRESS_NETWORK,
  publishesPorts,
} from "./endpoints.ts";
import { type PortCursors, PortSpace } from "./ports.ts";

/** Conntrack zones and packet marks have this many values for nodes; a further node stays without. */
export const NODE_INDEX_MAX = 16_383;

/** Where the round-robin searches go on in the next pass. */
export interface AllocationCursors {
  readonly address?: number;
  readonly ports: PortCursors;
}

export interface AllocationPlan {
  readonly services: readonly Service[];
  readonly nodes: readonly Node[];
  readonly tasks: readonly Task[];
  readonly cursors: AllocationCursors;
  /** What could not be given, in plain words, by the name of the service or node that lacks it. */
  readonly problems: readonly string[];
}

export function planAllocation(
  snapshot: Snapshot,
  cursors: AllocationCursors,
  now: string,
): AllocationPlan {
  const ingress = ingressPoolOf(snapshot, cursors.address);
  const ports = new PortSpace(snapshot.list("service"), cursors.ports);
  const problems: string[] = [];
  const nodes = planNodes(snapshot, ingress, problems);
  const endpoints = planEndpoints(snapshot, ingress, ports, problems);
  const tasks = planTasks(snapshot, ingress, endpoints, now);
  const services = [...endpoints.values()].flatMap(({ service, result }) =>
    result.kind === "endpoint" && result.endpoint !== service.endpoint
      ? [{ ...service, endpoint: result.endpoint }]
      : [],
  );
  const address = ingress?.pool.cursor ?? cursors.address;
  return {
    services,
    nodes,
    tasks,
    problems,
    cursors: { ports: ports.cursors, ...(address === undefined ? {} : { address }) },
  };
}

/** Every address that somebody still has: nodes, services, and tasks whose container may still be there. */
function ingressPoolOf(snapshot: Snapshot, cursor: number | undefined): IngressPool | undefined {
  const network = findIngressNetwork(snapshot);
  const range = network === undefined ? undefined : addressRange(network);
  if (network === undefined || range === undefined) return undefined;
  const held: string[] = [];
  for (const node of snapshot.list("node")) {
    if (node.ingressAddress !== undefined) held.push(node.ingressAddress);
  }
  for (const service of snapshot.list("service")) {
    for (const { addr } of service.endpoint?.virtualIPs ?? []) held.push(addr);
  }
  for (const task of snapshot.list("task")) {
    if (isOver(task)) continue;
    for (const attachment of task.networksAttachments) {
      if (attachment.network.id === network.id) held.push(...attachment.addresses);
    }
  }
  return { network, pool: new AddressPool(range, held, cursor) };
}

function planNodes(
  snapshot: Snapshot,
  ingress: IngressPool | undefined,
  problems: string[],
): readonly Node[] {
  const nodes = snapshot.list("node");
  const taken = new Set(nodes.map(({ index }) => index));
  let next = 1;
  const changed: Node[] = [];
  for (const node of nodes) {
    let { index } = node;
    if (index === undefined) {
      while (taken.has(next)) next++;
      if (next <= NODE_INDEX_MAX) index = next++;
      else problems.push(`node ${node.id}: all of the ${NODE_INDEX_MAX} node numbers are in use`);
    }
    const ingressAddress = node.ingressAddress ?? ingress?.pool.take();
    if (ingressAddress === undefined && ingress !== undefined) {
      problems.push(`node ${node.id}: ${noFreeAddress(ingress)}`);
    }
    if (index === node.index && ingressAddress === node.ingressAddress) continue;
    changed.push({
      ...node,
      ...(index === undefined ? {} : { index }),
      ...(ingressAddress === undefined ? {} : { ingressAddress }),
    });
  }
  return changed;
}

type EndpointsByService = ReadonlyMap<
  string,
  { readonly service: Service; readonly result: EndpointResult }
>;

function planEndpoints(
  snapshot: Snapshot,
  ingress: IngressPool | undefined,
  ports: PortSpace,
  problems: string[],
): EndpointsByService {
  const endpoints = new Map<string, { service: Service; result: EndpointResult }>();
  // Who asked first is served first.
  const services = [...snapshot.list("service")].sort((a, b) => a.version.index - b.version.index);
  for (const service of services) {
    const { endpoint } = service;
    const result: EndpointResult =
      endpoint !== undefined && isEndpointCurrent(service, ingress?.network)
        ? { kind: "endpoint", endpoint }
        : allocateEndpoint(service, ingress, ports);
    if (result.kind === "refused") problems.push(`service ${service.spec.name}: ${result.reason}`);
    endpoints.set(service.id, { service, result });
  }
  return endpoints;
}

function planTasks(
  snapshot: Snapshot,
  ingress: IngressPool | undefined,
  endpoints: EndpointsByService,
  now: string,
): readonly Task[] {
  const fresh = snapshot
    .list("task")
    .filter((task) => task.status.state === "new" && isWanted(task));
  fresh.sort((a, b) => a.version.index - b.version.index || (a.slot ?? 0) - (b.slot ?? 0));
  return fresh.flatMap((task) => {
    const entry = endpoints.get(task.serviceID);
    if (entry === undefined) return [];
    const changed = allocateTask(task, entry.service, entry.result, ingress, now);
    return changed === undefined ? [] : [changed];
  });
}

/** The task as PENDING, or with the reason why it has to wait; undefined when that is said already. */
function allocateTask(
  task: Task,
  service: Service,
  result: EndpointResult,
  ingress: IngressPool | undefined,
  now: string,
): Task | undefined {
  if (result.kind === "refused") return waiting(task, result.reason, now);
  const networksAttachments: NetworkAttachment[] = [];
  if (publishesPorts(service)) {
    if (ingress === undefined) return waiting(task, NO_INGRESS_NETWORK, now);
    const address = ingress.pool.take();
    if (address === undefined) return waiting(task, noFreeAddress(ingress), now);
    const { id, spec } = ingress.network;
    const addresses = [ingress.pool.withPrefixLength(address)];
    networksAttachments.push({ network: { id, name: spec.name }, addresses });
  }
  return {
    ...task,
    endpoint: result.endpoint,
    networksAttachments,
    status: { timestamp: now, state: "pending", message: "pending task scheduling" },
  };
}

function waiting(task: Task, err: string, now: string): Task | undefined {
  if (task.status.err === err) return undefined;
  return { ...task, status: { ...task.status, timestamp: now, err } };
}

function noFreeAddress({ network }: IngressPool): string {
  const subnet = network.ipam.config[0]?.subnet ?? "";
  return `no address is free in network ${network.spec.name} (${subnet}): remove services or tasks, or make the network again with a larger subnet`;
}
