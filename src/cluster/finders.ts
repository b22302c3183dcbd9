/**
 * What users type for an object, resolved as Docker does it: the full id first, then the full name (its
 * letters' case does not matter), then an id prefix; a prefix that fits several is refused.
 */
import { isIP } from "node:net";
import { InvalidParameterError, NotFoundError } from "../base/errors.ts";
import { taskName } from "./names.ts";
import type {
  Cluster,
  Config,
  Network,
  NetworkAttachmentConfig,
  Node,
  NodeStatus,
  Secret,
  Service,
  ServiceSpec,
  Task,
} from "./objects.ts";
import type { Kind, ObjectsByKind, Snapshot } from "./store.ts";

export function findService(snapshot: Snapshot, reference: string): Service {
  return find(snapshot, "service", reference, (service) => [service.spec.name]);
}

export function findNode(snapshot: Snapshot, reference: string): Node {
  return find(snapshot, "node", reference, (node) => [
    node.description?.hostname ?? "",
    node.spec.name ?? "",
  ]);
}

export function findTask(snapshot: Snapshot, reference: string): Task {
  return find(snapshot, "task", reference, (task) => [taskName(task)]);
}

export function findNetwork(snapshot: Snapshot, reference: string): Network {
  return findNetworkAmong(snapshot.list("network"), reference);
}

/** Of these, for a node that does not have them all. */
export function findNetworkAmong(networks: readonly Network[], reference: string): Network {
  return (
    networks.find(({ id }) => id === reference) ??
    findAmong("network", networks, reference, (network) => [network.spec.name])
  );
}

export function findSecret(snapshot: Snapshot, reference: string): Secret {
  return find(snapshot, "secret", reference, (secret) => [secret.spec.name]);
}

export function findConfig(snapshot: Snapshot, reference: string): Config {
  return find(snapshot, "config", reference, (config) => [config.spec.name]);
}

/** The one cluster of the store; undefined before there is one. */
export function findCluster(snapshot: Snapshot): Cluster | undefined {
  return snapshot.list("cluster")[0];
}

/** The network that published ports are reached through; undefined when it was removed. */
export function findIngressNetwork(snapshot: Snapshot): Network | undefined {
  return snapshot.list("network").find((network) => network.spec.ingress);
}

/** A network that a service asks for, and how. */
export interface ServiceNetwork {
  readonly network: Network;
  readonly config: NetworkAttachmentConfig;
}

/** The cluster's networks that a service asks for, in its order; those that every Engine has, or that are gone, are left out. */
export function serviceNetworks(
  snapshot: Snapshot,
  spec: Pick<ServiceSpec, "taskTemplate" | "networks">,
): readonly ServiceNetwork[] {
  const own = spec.taskTemplate.networks ?? [];
  const configs = own.length > 0 ? own : (spec.networks ?? []);
  return configs.flatMap((config) => {
    const network =
      snapshot.get("network", config.target) ??
      snapshot.list("network").find(({ spec: { name } }) => name === config.target);
    return network === undefined || network.spec.ingress ? [] : [{ network, config }];
  });
}

function find<K extends Exclude<Kind, "cluster">>(
  snapshot: Snapshot,
  kind: K,
  reference: string,
  namesOf: (object: ObjectsByKind[K]) => readonly string[],
): ObjectsByKind[K] {
  return snapshot.get(kind, reference) ?? findAmong(kind, snapshot.list(kind), reference, namesOf);
}

function findAmong<K extends Exclude<Kind, "cluster">>(
  kind: K,
  objects: readonly ObjectsByKind[K][],
  reference: string,
  namesOf: (object: ObjectsByKind[K]) => readonly string[],
): ObjectsByKind[K] {
  if (reference === "") throw new NotFoundError(`${kind} ${reference} not found`);
  const wanted = reference.toLowerCase();
  const named = objects.filter((object) =>
    namesOf(object).some((name) => name.toLowerCase() === wanted),
  );
  const matches = named.length > 0 ? named : objects.filter(({ id }) => id.startsWith(reference));
  const [match] = matches;
  if (match === undefined) throw new NotFoundError(`${kind} ${reference} not found`);
  if (matches.length > 1) {
    throw new InvalidParameterError(
      `${kind} ${reference} is ambiguous (${matches.length} matches found)`,
    );
  }
  return match;
}

/** Where VXLAN packets to a node are sent. */
export function dataPathAddrOf({
  addr,
  dataPathAddr,
}: Pick<NodeStatus, "addr" | "dataPathAddr">): string {
  return dataPathAddr ?? addr;
}

/** The family by which the nodes reach each other: that of their managers' addresses; undefined while none has any. */
export function underlayFamily(snapshot: Snapshot): 4 | 6 | undefined {
  return familyOfManagers(snapshot, ({ addr }) => addr);
}

/** The family that all tunnels' ends are of: that of their managers' ends. */
export function dataPathFamily(snapshot: Snapshot): 4 | 6 | undefined {
  return familyOfManagers(snapshot, dataPathAddrOf);
}

function familyOfManagers(
  snapshot: Snapshot,
  addressOf: (status: NodeStatus) => string,
): 4 | 6 | undefined {
  for (const { managerStatus, status } of snapshot.list("node")) {
    if (managerStatus === undefined) continue;
    const family = isIP(addressOf(status));
    if (family === 4 || family === 6) return family;
  }
  return undefined;
}
