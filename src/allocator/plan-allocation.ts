/**
 * What the allocator has to give, from a snapshot: pure. Services first get their ports and virtual IPs,
 * nodes their number and address, then each new task its addresses; what cannot be given is said on the
 * task, and tried again whenever something was given back.
 */
import { findIngressNetwork, serviceNetworks } from "../cluster/finders.ts";
import type {
  Attachment,
  Network,
  NetworkAttachment,
  Node,
  Service,
  Task,
} from "../cluster/objects.ts";
import type { Snapshot } from "../cluster/store.ts";
import { isWanted } from "../cluster/task-lifecycle.ts";
import {
  allocateEndpoint,
  type EndpointResult,
  isEndpointCurrent,
  NO_INGRESS_NETWORK,
  publishesPorts,
} from "./endpoints.ts";
import { type NetworkCursors, type NetworkPool, NetworkPools } from "./network-pools.ts";
import { type PortCursors, PortSpace } from "./ports.ts";

/** Conntrack zones and packet marks have this many values for nodes; a further node stays without. */
export const NODE_INDEX_MAX = 16_383;

/** Where the round-robin searches go on in the next pass. */
export interface AllocationCursors {
  readonly networks?: NetworkCursors;
  readonly ports: PortCursors;
}

export interface AllocationPlan {
  readonly services: readonly Service[];
  readonly nodes: readonly Node[];
  readonly tasks: readonly Task[];
  readonly attachments: readonly Attachment[];
  readonly cursors: AllocationCursors;
  /** What could not be given, in plain words, by the name of the service or node that lacks it. */
  readonly problems: readonly string[];
}

export function planAllocation(
  snapshot: Snapshot,
  cursors: AllocationCursors,
  now: string,
): AllocationPlan {
  const pools = new NetworkPools(snapshot, cursors.networks ?? {});
  const ports = new PortSpace(snapshot.list("service"), cursors.ports);
  const problems: string[] = [];
  const nodes = planNodes(snapshot, pools, problems);
  const endpoints = planEndpoints(snapshot, pools, ports, problems);
  const tasks = planTasks(snapshot, pools, endpoints, now);
  const attachments = planAttachments(snapshot, pools);
  const services = [...endpoints.values()].flatMap(({ service, result }) =>
    result.kind === "endpoint" && result.endpoint !== service.endpoint
      ? [{ ...service, endpoint: result.endpoint }]
      : [],
  );
  return {
    services,
    nodes,
    tasks,
    attachments,
    problems,
    cursors: { ports: ports.cursors, networks: pools.cursors },
  };
}

function planNodes(snapshot: Snapshot, pools: NetworkPools, problems: string[]): readonly Node[] {
  const ingress = poolOf(findIngressNetwork(snapshot), pools);
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
    const old = node.ingressAddress;
    // The ingress network may have been made again, with another subnet.
    const isStill = old !== undefined && (ingress === undefined || ingress.holds(old));
    const ingressAddress = isStill ? old : withoutPrefixLength(ingress?.take()?.[0]);
    if (ingressAddress === undefined && ingress !== undefined) {
      problems.push(`node ${node.id}: ${ingress.exhausted}`);
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
  pools: NetworkPools,
  ports: PortSpace,
  problems: string[],
): EndpointsByService {
  const endpoints = new Map<string, { service: Service; result: EndpointResult }>();
  // Who asked first is served first.
  const services = [...snapshot.list("service")].sort((a, b) => a.version.index - b.version.index);
  for (const service of services) {
    const { endpoint } = service;
    const result: EndpointResult =
      endpoint !== undefined && isEndpointCurrent(snapshot, service)
        ? { kind: "endpoint", endpoint }
        : allocateEndpoint(snapshot, service, pools, ports);
    if (result.kind === "refused") problems.push(`service ${service.spec.name}: ${result.reason}`);
    endpoints.set(service.id, { service, result });
  }
  return endpoints;
}

function planTasks(
  snapshot: Snapshot,
  pools: NetworkPools,
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
    const changed = allocateTask(snapshot, task, entry, pools, now);
    return changed === undefined ? [] : [changed];
  });
}

/** The task as PENDING, or with the reason why it has to wait; undefined when that is said already. */
function allocateTask(
  snapshot: Snapshot,
  task: Task,
  { service, result }: { readonly service: Service; readonly result: EndpointResult },
  pools: NetworkPools,
  now: string,
): Task | undefined {
  if (result.kind === "refused") return waiting(task, result.reason, now);
  const networksAttachments: NetworkAttachment[] = [];
  for (const network of networksOf(snapshot, task, service)) {
    if (network === undefined) return waiting(task, NO_INGRESS_NETWORK, now);
    const pool = pools.of(network);
    const addresses = pool.take();
    if (addresses === undefined) return waiting(task, pool.exhausted, now);
    const { id, spec } = network;
    const kind = spec.ingress ? {} : ({ overlay: true } as const);
    networksAttachments.push({ network: { id, name: spec.name, ...kind }, addresses });
  }
  return {
    ...task,
    endpoint: result.endpoint,
    networksAttachments,
    status: { timestamp: now, state: "pending", message: "pending task scheduling" },
  };
}

/** Somebody waits at a prompt: what cannot be given now is refused for good, and asked for again by hand. */
function planAttachments(snapshot: Snapshot, pools: NetworkPools): readonly Attachment[] {
  const waiting = snapshot
    .list("attachment")
    .filter(({ addresses, err }) => addresses.length === 0 && err === undefined);
  return waiting.map((attachment) => {
    const { networkID, wanted } = attachment;
    const pool = poolOf(snapshot.get("network", networkID), pools);
    if (pool === undefined) return { ...attachment, err: `network ${networkID} not found` };
    const addresses = wanted === undefined ? pool.take() : pool.takeThis(wanted);
    if (addresses !== undefined) return { ...attachment, addresses };
    const { name } = pool.network.spec;
    const err =
      wanted === undefined
        ? pool.exhausted
        : `address ${wanted} is in use, or not of network ${name}`;
    return { ...attachment, err };
  });
}

/** The ingress network first, undefined where it is missing, then each of its own once. */
function networksOf(
  snapshot: Snapshot,
  task: Task,
  service: Service,
): readonly (Network | undefined)[] {
  const spec = { ...service.spec, taskTemplate: task.spec };
  const own = new Set(serviceNetworks(snapshot, spec).map(({ network }) => network));
  return publishesPorts(service) ? [findIngressNetwork(snapshot), ...own] : [...own];
}

function waiting(task: Task, err: string, now: string): Task | undefined {
  if (task.status.err === err) return undefined;
  return { ...task, status: { ...task.status, timestamp: now, err } };
}

function poolOf(network: Network | undefined, pools: NetworkPools): NetworkPool | undefined {
  return network === undefined ? undefined : pools.of(network);
}

function withoutPrefixLength(address: string | undefined): string | undefined {
  return address?.split("/")[0];
}
