/** A task as the container that runs it: names and labels as Docker gives them, defaults filled in. Pure. */

import { millisecondsOf, parseDuration } from "../base/duration.ts";
import { isOfIPv6 } from "../base/ip-address.ts";
import { taskName } from "../cluster/names.ts";
import type { Labels, Mount, PortConfig, Task } from "../cluster/objects.ts";
import { isOnHostNetwork } from "../cluster/predefined-networks.ts";
import { DRAIN_TIMEOUT_LABEL } from "../cluster/service-labels.ts";
import { expandTemplates, type TemplateNode } from "../cluster/template.ts";
import type { ContainerConfig } from "../runtime/runtime.ts";

/** Docker's, for a service that names none. */
export const DEFAULT_STOP_GRACE_MS = 10_000;

export function stopGraceMsOf(task: Task): number {
  const grace = task.spec.containerSpec.stopGracePeriod;
  return grace === undefined ? DEFAULT_STOP_GRACE_MS : millisecondsOf(grace);
}

/** How long the task's connections may go on once it is to stop: its service's label, else its stop grace period. */
export function drainTimeoutMsOf(task: Task): number {
  const label = task.serviceAnnotations.labels[DRAIN_TIMEOUT_LABEL];
  return parseDuration(label ?? "") ?? stopGraceMsOf(task);
}

/** The task's address in the ingress network, without prefix length; undefined when it publishes nothing. */
export function taskAddress(task: Task): string | undefined {
  const ingress = task.networksAttachments.find(({ network }) => network.overlay !== true);
  return ingress?.addresses[0]?.split("/")[0];
}

/** Its IPv6 address there; undefined where the mesh has none. */
export function taskAddress6(task: Task): string | undefined {
  const ingress = task.networksAttachments.find(({ network }) => network.overlay !== true);
  return ingress?.addresses.find(isOfIPv6)?.split("/")[0];
}

/** Whether it can be reached in a user's network, at whichever ports it listens on. */
export function isOnOverlay(task: Task): boolean {
  return task.networksAttachments.some(({ network }) => network.overlay === true);
}

/** Ports that the task's own node publishes for it. */
export function hostPortsOf(task: Task): readonly PortConfig[] {
  return (task.endpoint?.ports ?? []).filter(({ publishMode }) => publishMode === "host");
}

/** `files`: the mounts of its secrets and configs. */
export function containerConfigOf(
  task: Task,
  node: TemplateNode,
  files: readonly Mount[] = [],
): ContainerConfig {
  const spec = expandTemplates(task, node);
  const networks = task.networksAttachments.map(({ network, addresses }) => ({
    name: network.name,
    addresses: addresses.map((address) => address.split("/")[0] ?? address),
  }));
  return {
    name: taskName(task),
    taskID: task.id,
    image: spec.image,
    labels: labelsOf(task),
    env: spec.env ?? [],
    mounts: [...(spec.mounts ?? []), ...files],
    stopGraceMs: stopGraceMsOf(task),
    ...present("entrypoint", spec.command),
    ...present("args", spec.args),
    ...present("hostname", spec.hostname),
    ...present("workingDir", spec.dir),
    ...present("user", spec.user),
    ...present("groups", spec.groups),
    ...present("tty", spec.tty),
    ...present("openStdin", spec.openStdin),
    ...present("readOnly", spec.readOnly),
    ...present("init", spec.init),
    ...present("stopSignal", spec.stopSignal),
    ...present("healthcheck", spec.healthcheck),
    ...present("extraHosts", spec.hosts?.flatMap(extraHostsOf)),
    ...present("dns", spec.dnsConfig),
    ...present("sysctls", spec.sysctls),
    ...present("capabilityAdd", spec.capabilityAdd),
    ...present("capabilityDrop", spec.capabilityDrop),
    ...present("ulimits", spec.ulimits),
    ...present("privileges", spec.privileges),
    ...present("oomScoreAdj", spec.oomScoreAdj),
    ...present("limits", task.spec.resources?.limits),
    ...present("logDriver", task.spec.logDriver),
    ...(isOnHostNetwork(task.spec) ? { hostNetwork: true } : {}),
    ...(networks.length === 0 ? {} : { networks }),
  };
}

/** The spec's own labels, and those that Docker puts on every container of a service: no spec overrides them. */
function labelsOf(task: Task): Labels {
  return {
    ...task.spec.containerSpec.labels,
    "com.docker.swarm.node.id": task.nodeID ?? "",
    "com.docker.swarm.service.id": task.serviceID,
    "com.docker.swarm.service.name": task.serviceAnnotations.name,
    "com.docker.swarm.task": "",
    "com.docker.swarm.task.id": task.id,
    "com.docker.swarm.task.name": taskName(task),
  };
}

/** A line of /etc/hosts, `address name alias…`, as the `name:address` pairs that a container is made with. */
function extraHostsOf(line: string): readonly string[] {
  const [address, ...names] = line.trim().split(/\s+/);
  return names.map((name) => `${name}:${address}`);
}

function present<Key extends string, Value>(
  key: Key,
  value: Value | undefined,
): { readonly [K in Key]?: Value } {
  return value === undefined ? {} : ({ [key]: value } as { readonly [K in Key]: Value });
}

/** Without addresses of a family that the networks of these names do not have on this host. */
export function withoutIPv6(config: ContainerConfig, names: ReadonlySet<string>): ContainerConfig {
  if (config.networks === undefined) return config;
  const networks = config.networks.map((network) =>
    names.has(network.name)
      ? { ...network, addresses: network.addresses.filter((address) => !isOfIPv6(address)) }
      : network,
  );
  return { ...config, networks };
}
