/** Tasks and networks as Docker's JSON has them (api/types/swarm/task.go, network.go). */
import type {
  ContainerStatus,
  Network,
  NetworkAttachment,
  Task,
  TaskSpec,
  TaskState,
  TaskStatus,
} from "../../cluster/objects.ts";
import type { Snapshot } from "../../cluster/store.ts";
import { encodeIteration, encodeMeta } from "./meta.ts";
import {
  type Codec,
  int,
  list,
  omittedWhenEmpty,
  optional,
  required,
  struct,
  text,
  textOf,
  unlessEmpty,
} from "./schema.ts";
import { portConfig, taskSpec } from "./service.ts";

const containerStatus: Codec<ContainerStatus> = struct<ContainerStatus>("swarm.ContainerStatus", {
  containerID: required("ContainerID", text, ""),
  pid: required("PID", int, 0),
  exitCode: required("ExitCode", int, 0),
});

/** Docker has no word for these in a task. */
type ShownStatus = Omit<TaskStatus, "unhealthy" | "ipv6Ports">;

const taskStatus: Codec<ShownStatus> = struct<ShownStatus>("swarm.TaskStatus", {
  timestamp: required("Timestamp", text, ""),
  state: required("State", textOf("swarm.TaskState") as Codec<TaskStatus["state"]>, "new"),
  message: omittedWhenEmpty("Message", text, ""),
  err: unlessEmpty("Err", text),
  containerStatus: optional("ContainerStatus", containerStatus),
  portStatus: required(
    "PortStatus",
    struct<NonNullable<TaskStatus["portStatus"]>>("swarm.PortStatus", {
      ports: omittedWhenEmpty("Ports", list(portConfig), []),
    }),
    { ports: [] },
  ),
});

/** `problem` is what stands in the way of the task's service, where the task itself has nothing to complain of. */
export function encodeTask(task: Task, snapshot: Snapshot, problem?: string) {
  const { err = problem, unhealthy: _unhealthy, ipv6Ports: _ports, ...status } = task.status;
  return {
    ...encodeMeta(task),
    Labels: {},
    Spec: encodeSpec(task.spec),
    ServiceID: task.serviceID,
    ...(task.slot ? { Slot: task.slot } : {}),
    ...(task.nodeID === undefined ? {} : { NodeID: task.nodeID }),
    Status: taskStatus.encode(err === undefined ? status : { ...status, err }),
    DesiredState: shownDesiredState(task),
    ...(task.networksAttachments.length === 0
      ? {}
      : {
          NetworksAttachments: task.networksAttachments.map((attachment) =>
            encodeAttachment(attachment, snapshot),
          ),
        }),
    ...(task.jobIteration === undefined
      ? {}
      : { JobIteration: encodeIteration(task.jobIteration) }),
  };
}

/** A task's spec does not say its runtime, a service's does. */
function encodeSpec(spec: TaskSpec) {
  const { Runtime: _, ...shown } = taskSpec.encode(spec) as Record<string, unknown>;
  return shown;
}

/** A job's task is to complete, and has when it was to. */
export function shownDesiredState({ jobIteration, desiredState, status }: Task): TaskState {
  if (jobIteration === undefined || desiredState === "remove") return desiredState;
  return desiredState === "running" || status.state === "complete" ? "complete" : desiredState;
}

function encodeAttachment(attachment: NetworkAttachment, snapshot: Snapshot) {
  const network = snapshot.get("network", attachment.network.id);
  return {
    Network:
      network === undefined
        ? { ID: attachment.network.id, Spec: { Name: attachment.network.name } }
        : encodeSwarmNetwork(network),
    Addresses: attachment.addresses,
  };
}

/** A network as tasks carry it, which is not the shape that `/networks` has. */
function encodeSwarmNetwork(network: Network) {
  const { spec, ipam } = network;
  return {
    ...encodeMeta(network),
    Spec: {
      Name: spec.name,
      Labels: spec.labels,
      DriverConfiguration: {},
      ...(spec.ingress ? { Ingress: true } : {}),
      ...(spec.attachable ? { Attachable: true } : {}),
      ...(spec.internal ? { Internal: true } : {}),
      IPAMOptions: { Driver: {} },
      Scope: "swarm",
    },
    DriverState: { Name: spec.driver, Options: driverOptions(network) },
    IPAMOptions: { Driver: { Name: ipam.driver }, Configs: ipamConfigs(network) },
  };
}

/** The driver's own options and the network's number, as Docker's overlay driver names it. */
export function driverOptions(network: Network): Readonly<Record<string, string>> {
  return {
    ...network.spec.driverOptions,
    "com.docker.network.driver.overlay.vxlanid_list": String(network.vni),
  };
}

/** The network's subnets. */
export function ipamConfigs(network: Network) {
  return network.ipam.config.map(({ subnet, ipRange, gateway }) => ({
    Subnet: subnet,
    ...(ipRange === undefined ? {} : { IPRange: ipRange }),
    ...(gateway === undefined ? {} : { Gateway: gateway }),
  }));
}
