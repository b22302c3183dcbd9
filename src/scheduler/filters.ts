/** Whether a node can take a task, by one rule each, with Docker's words for the nodes that it turned down. */

import { InvalidParameterError } from "../base/errors.ts";
import { type Constraint, nodeMatches, parseConstraints } from "../cluster/constraints.ts";
import type { Mount, Node, Placement, Task } from "../cluster/objects.ts";
import { hostPortsOf, type NodeInfo, reservationsOf } from "./node-info.ts";

export interface Filter {
  accepts(info: NodeInfo): boolean;
  /** What to say when it turned this many nodes down. */
  explain(nodes: number): string;
}

/** A rule for one task; undefined when the task does not need it. */
export type FilterFactory = (task: Task) => Filter | undefined;

const ready: FilterFactory = () => ({
  accepts: ({ node }) => node.status.state === "ready" && node.spec.availability === "active",
  explain: (nodes) => `${count(nodes)} not available for new tasks`,
});

const resources: FilterFactory = (task) => {
  const reservations = reservationsOf(task);
  if (!reservations.nanoCPUs && !reservations.memoryBytes) return undefined;
  return {
    accepts: (info) => info.hasRoomFor(reservations),
    explain: (nodes) => `insufficient resources on ${count(nodes)}`,
  };
};

const plugins: FilterFactory = (task) => {
  const drivers = (task.spec.containerSpec.mounts ?? []).flatMap(volumeDriverOf);
  const logDriver = task.spec.logDriver?.name ?? "";
  if (drivers.length === 0 && (logDriver === "" || logDriver === "none")) return undefined;
  return {
    accepts: ({ node }) =>
      drivers.every((driver) => hasPlugin(node, "Volume", driver)) &&
      (logDriver === "" || logDriver === "none" || hasPlugin(node, "Log", logDriver)),
    explain: (nodes) => `missing plugin on ${count(nodes)}`,
  };
};

const constraints: FilterFactory = (task) => {
  const expressions = task.spec.placement?.constraints ?? [];
  if (expressions.length === 0) return undefined;
  const parsed = parseOrNone(expressions);
  return {
    accepts: ({ node }) => parsed !== undefined && nodeMatches(parsed, node),
    explain: (nodes) => `scheduling constraints not satisfied on ${count(nodes)}`,
  };
};

const platform: FilterFactory = (task) => {
  const platforms = task.spec.placement?.platforms ?? [];
  if (platforms.length === 0) return undefined;
  return {
    accepts: ({ node }) => platforms.some((each) => runsOn(each, node)),
    explain: (nodes) => `unsupported platform on ${count(nodes)}`,
  };
};

const hostPort: FilterFactory = (task) => {
  const ports = hostPortsOf(task);
  if (ports.length === 0) return undefined;
  return {
    accepts: (info) => !ports.some((port) => info.hasHostPort(port)),
    explain: (nodes) => `host-mode port already in use on ${count(nodes)}`,
  };
};

const maxReplicas: FilterFactory = (task) => {
  const limit = task.spec.placement?.maxReplicas ?? 0;
  if (limit === 0) return undefined;
  return {
    accepts: (info) => info.tasksOfService(task.serviceID) < limit,
    explain: () => "max replicas per node limit exceed",
  };
};

/** In the order they are asked: a node counts for the first one that turns it down. */
export const FILTERS: readonly FilterFactory[] = [
  ready,
  resources,
  plugins,
  constraints,
  platform,
  hostPort,
  maxReplicas,
];

function count(nodes: number): string {
  return nodes === 1 ? "1 node" : `${nodes} nodes`;
}

function parseOrNone(expressions: readonly string[]): readonly Constraint[] | undefined {
  try {
    return parseConstraints(expressions);
  } catch (error) {
    if (error instanceof InvalidParameterError) return undefined;
    throw error;
  }
}

type Platform = NonNullable<Placement["platforms"]>[number];

/** Manifests and kernels call one processor by two names. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x86_64: "amd64", aarch64: "arm64" };

function runsOn({ architecture = "", os = "" }: Platform, { description }: Node): boolean {
  if (description === undefined) return false;
  const normal = (name: string) => ARCHITECTURES[name] ?? name;
  const actual = description.platform;
  return (
    (architecture === "" || normal(architecture) === normal(actual.architecture)) &&
    (os === "" || os === actual.os)
  );
}

/** A node that told of no plugin at all was not asked for them: its Engine will say what it lacks. */
function hasPlugin({ description }: Node, type: string, name: string): boolean {
  const installed = description?.engine.plugins ?? [];
  return (
    installed.length === 0 || installed.some((each) => each.type === type && each.name === name)
  );
}

function volumeDriverOf({ type, volumeOptions }: Mount): readonly string[] {
  if (type !== "volume") return [];
  const config = volumeOptions?.["driverConfig"];
  if (typeof config !== "object" || config === null || !("name" in config)) return [];
  return typeof config.name === "string" && config.name !== "" ? [config.name] : [];
}
