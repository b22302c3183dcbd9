/**
 * How a service's spec gets into the store: the checks against the rest of the cluster and the write are one
 * transaction, so that what was checked is what is written. Pure but for the transaction they are handed.
 */

import { NotImplementedError, SystemError } from "../base/errors.ts";
import { newID, type ServiceID } from "../base/ids.ts";
import { findIngressNetwork, findNetwork, findService } from "../cluster/finders.ts";
import {
  isJob,
  type NetworkAttachmentConfig,
  type PortConfig,
  type Service,
  type ServiceSpec,
  type UpdateStatus,
} from "../cluster/objects.ts";
import { isPredefined } from "../cluster/predefined-networks.ts";
import type { Snapshot, Transaction } from "../cluster/store.ts";
import { outOfSequence, rpcError } from "./errors.ts";
import { isNamedLike } from "./names.ts";
import { checkReferences } from "./payload-writes.ts";
import { publishedPorts } from "./service-spec.ts";

export interface ServiceWrite {
  readonly spec: ServiceSpec;
  readonly now: string;
  readonly registryAuth?: string;
}

/** Puts a new service; returns its id. */
export function createService(tx: Transaction, write: ServiceWrite): ServiceID {
  const spec = withMode(withNetworkIDs(tx, write.spec));
  checkAgainstCluster(tx, spec, undefined);
  const { name } = spec;
  if (tx.list("service").some((service) => isNamedLike(service.spec.name, name))) {
    throw rpcError(
      "AlreadyExists",
      `name conflicts with an existing object: service ${name} already exists`,
    );
  }
  const id = newID<ServiceID>();
  tx.put("service", {
    id,
    spec,
    specVersion: { index: tx.nextRevision },
    ...(isJob(spec) ? { jobStatus: { jobIteration: 0, lastExecution: write.now } } : {}),
    ...(write.registryAuth === undefined ? {} : { registryAuth: write.registryAuth }),
  });
  return id;
}

export interface ServiceUpdate extends ServiceWrite {
  readonly reference: string;
  /** The version that the writer has seen. */
  readonly version: number;
}

/** Replaces a service's spec and keeps the one before it. */
export function updateService(tx: Transaction, update: ServiceUpdate): void {
  const service = findService(tx, update.reference);
  const spec = withMode(withNetworkIDs(tx, update.spec));
  if (service.version.index !== update.version) throw outOfSequence();
  if (service.spec.name !== spec.name) {
    throw rpcError("Unimplemented", "renaming services is not supported");
  }
  if (Object.keys(service.spec.mode)[0] !== Object.keys(spec.mode)[0]) {
    throw rpcError("Unimplemented", "service mode change is not allowed");
  }
  checkAgainstCluster(tx, spec, service.id);
  putSpec(tx, service, { ...update, spec });
}

/** Makes the spec before the last update the spec again, and the spec the one before. */
export function rollBackService(tx: Transaction, update: Omit<ServiceUpdate, "spec">): void {
  const service = findService(tx, update.reference);
  if (service.version.index !== update.version) throw outOfSequence();
  if (service.previousSpec === undefined) {
    throw rpcError("FailedPrecondition", `service ${service.id} does not have a previous spec`);
  }
  checkAgainstCluster(tx, service.previousSpec, service.id);
  const write = { ...update, spec: service.previousSpec };
  putSpec(tx, service, write, {
    state: "rollback_started",
    startedAt: update.now,
    message: "manually requested rollback",
  });
}

function putSpec(
  tx: Transaction,
  service: Service,
  { spec, registryAuth, now }: ServiceWrite,
  status?: UpdateStatus,
): void {
  // The status of the update before goes with its spec: a client that waits for this one must not take it for its own.
  const { updateStatus: _, jobStatus, ...kept } = service;
  tx.put("service", {
    ...kept,
    spec,
    previousSpec: service.spec,
    specVersion: { index: tx.nextRevision },
    ...(registryAuth === undefined ? {} : { registryAuth }),
    // A job is not updated step by step: it runs again.
    ...(status === undefined || isJob(spec) ? {} : { updateStatus: status }),
    ...(jobStatus === undefined
      ? {}
      : { jobStatus: { jobIteration: jobStatus.jobIteration + 1, lastExecution: now } }),
  });
}

function checkAgainstCluster(
  snapshot: Snapshot,
  spec: ServiceSpec,
  self: ServiceID | undefined,
): void {
  checkPredefined(spec);
  checkIngress(snapshot, spec);
  for (const port of publishedPorts(spec.endpointSpec)) {
    for (const other of snapshot.list("service")) {
      if (other.id !== self) checkPort(port, other);
    }
  }
  checkReferences(snapshot, spec.taskTemplate.containerSpec);
}

/** The spec with networks by their ids, as Docker keeps them: a name may be given to another network one day. */
function withNetworkIDs(snapshot: Snapshot, spec: ServiceSpec): ServiceSpec {
  const resolve = (configs: readonly NetworkAttachmentConfig[]) =>
    configs.map((config) => ({ ...config, target: networkID(snapshot, config) }));
  const { taskTemplate, networks } = spec;
  return {
    ...spec,
    taskTemplate:
      taskTemplate.networks === undefined
        ? taskTemplate
        : { ...taskTemplate, networks: resolve(taskTemplate.networks) },
    ...(networks === undefined ? {} : { networks: resolve(networks) }),
  };
}

function networkID(snapshot: Snapshot, { target }: NetworkAttachmentConfig): string {
  if (isPredefined(target)) return target;
  let network: ReturnType<typeof findNetwork>;
  try {
    network = findNetwork(snapshot, target);
  } catch (error) {
    // 500 is what an Engine answers here; its CLI has asked for the network before, and had a 404.
    throw new SystemError(`network ${target} not found`, { cause: error });
  }
  if (network.spec.ingress) {
    throw rpcError(
      "InvalidArgument",
      `Service cannot be explicitly attached to the ingress network ${JSON.stringify(network.spec.name)}`,
    );
  }
  return network.id;
}

/** Their packets never pass the mesh: Docker takes such a service, and its tasks cannot start. */
function checkPredefined(spec: ServiceSpec): void {
  const targets = (spec.taskTemplate.networks ?? []).map(({ target }) => target);
  const predefined = targets.find(isPredefined);
  if ((spec.networks ?? []).some(({ target }) => isPredefined(target))) {
    throw new NotImplementedError(
      "networks of a service (Networks) are not supported by Weft: name them in its TaskTemplate",
    );
  }
  if (predefined === undefined || (spec.endpointSpec?.ports ?? []).length === 0) return;
  throw rpcError(
    "InvalidArgument",
    `a service on the network ${predefined} cannot publish ports: its tasks are reached where they listen`,
  );
}

/** Docker's check, without which the tasks would wait for a network that nobody makes. */
function checkIngress(snapshot: Snapshot, spec: ServiceSpec): void {
  const isPublished = spec.endpointSpec?.ports.some(({ publishMode }) => publishMode === "ingress");
  if (isPublished !== true || findIngressNetwork(snapshot) !== undefined) return;
  throw rpcError(
    "FailedPrecondition",
    "service needs ingress network, but no ingress network is present",
  );
}

/** Two services may both ask for a host's port: the scheduler keeps them apart. Otherwise a port has one service. */
function checkPort(port: PortConfig, other: Service): void {
  const taken = [...publishedPorts(other.spec.endpointSpec), ...(other.endpoint?.ports ?? [])].find(
    (candidate) =>
      candidate.publishedPort === port.publishedPort &&
      candidate.protocol === port.protocol &&
      (candidate.publishMode === "ingress" || port.publishMode === "ingress"),
  );
  if (taken === undefined) return;
  const how = taken.publishMode === "ingress" ? "an ingress port" : "a host-published port";
  throw rpcError(
    "InvalidArgument",
    `port '${port.publishedPort}' is already in use by service '${other.spec.name}' (${other.id}) as ${how}`,
  );
}

/** A spec that names no mode is replicated, once; a job that names no numbers runs once. */
function withMode(spec: ServiceSpec): ServiceSpec {
  const { replicated, global, replicatedJob, globalJob } = spec.mode;
  if (replicatedJob !== undefined) {
    const { maxConcurrent = 1, totalCompletions = maxConcurrent } = replicatedJob;
    return { ...spec, mode: { replicatedJob: { maxConcurrent, totalCompletions } } };
  }
  if (replicated !== undefined || global !== undefined || globalJob !== undefined) return spec;
  return { ...spec, mode: { replicated: { replicas: 1 } } };
}
