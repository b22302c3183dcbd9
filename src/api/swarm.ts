/** `/swarm`: the cluster itself, and this node's part in it. */
import {
  ConflictError,
  InvalidParameterError,
  messageOf,
  NotImplementedError,
  SystemError,
  UnavailableError,
} from "../base/errors.ts";
import { parseCidr } from "../cluster/cidr.ts";
import { findCluster } from "../cluster/finders.ts";
import { SUBNET_SIZE } from "../cluster/initial-objects.ts";
import type { Cluster, ClusterSpec } from "../cluster/objects.ts";
import type { Snapshot } from "../cluster/store.ts";
import type { InitRequest } from "./backend.ts";
import { type Answer, type ApiCall, bodyOf, boolParam, versionParam } from "./call.ts";
import { outOfSequence, rpcError } from "./errors.ts";
import { requireManager } from "./manager.ts";
import { clusterSpec, encodeCluster, separateSigningMaterial } from "./wire/cluster.ts";
import { decodeText } from "./wire/schema.ts";
import { initRequest, joinRequest } from "./wire/swarm-requests.ts";

/** A smaller network has no room for a task beside its gateway. */
const SUBNET_SIZE_MAX = 29;
const DATA_PATH_PORTS = [1_024, 49_151] as const;
const NANOSECONDS_PER_HOUR = 3_600_000_000_000;

export function inspectSwarm(call: ApiCall): Answer {
  const cluster = requireCluster(requireManager(call.context).store.view());
  const { worker, manager } = cluster.joinTokens;
  const body = { ...encodeCluster(cluster), JoinTokens: { Worker: worker, Manager: manager } };
  return { status: 200, body };
}

export async function postSwarmInit(call: ApiCall): Promise<Answer> {
  const request = decodeText(initRequest, (await bodyOf(call)).toString("utf8"));
  const { state } = call.context.backend.status();
  if (state !== "inactive" && !request.forceNewCluster) throw alreadyInSwarm();
  const { spec, material } = separateSigningMaterial(request.spec);
  if (material.signingCACert !== undefined || material.signingCAKey !== undefined) {
    throw new NotImplementedError(
      "a cluster of Weft's begins with a root of its own: exchange it with docker swarm ca --rotate --ca-cert … --ca-key …",
    );
  }
  validateClusterSpec(spec);
  validateNumbers(request);
  return { status: 200, body: await call.context.backend.init({ ...request, spec }) };
}

function prefixLengthOf(pool: string): number {
  try {
    return parseCidr(pool).prefixLength;
  } catch (cause) {
    throw new InvalidParameterError(`invalid base pool "${pool}": ${messageOf(cause)}`, { cause });
  }
}

/** Of the networks and of the tunnel, in the words of Docker's daemon. */
function validateNumbers({ defaultAddrPool, subnetSize, dataPathPort }: InitRequest): void {
  if (subnetSize > SUBNET_SIZE_MAX) {
    throw new InvalidParameterError(`subnet size is out of range: ${subnetSize}`);
  }
  for (const pool of defaultAddrPool) {
    const size = subnetSize || SUBNET_SIZE;
    if (prefixLengthOf(pool) <= size) continue;
    throw new InvalidParameterError(
      `invalid CIDR: "${pool}". Subnet size is too small for pool: ${size}`,
    );
  }
  const [lowest, highest] = DATA_PATH_PORTS;
  if (dataPathPort === 0 || (dataPathPort >= lowest && dataPathPort <= highest)) return;
  throw new InvalidParameterError(
    `Datapath port number is not in valid range (${lowest}-${highest}) : ${dataPathPort}`,
  );
}

export async function postSwarmJoin(call: ApiCall): Promise<Answer> {
  const request = decodeText(joinRequest, (await bodyOf(call)).toString("utf8"));
  if (call.context.backend.status().state !== "inactive") throw alreadyInSwarm();
  if (request.remoteAddrs.length === 0) {
    throw new InvalidParameterError("at least 1 RemoteAddr is required to join");
  }
  await call.context.backend.join(request);
  return { status: 200 };
}

export async function postSwarmLeave(call: ApiCall): Promise<Answer> {
  const force = boolParam(call.query, "force");
  const { backend } = call.context;
  if (backend.status().state === "inactive") {
    throw new UnavailableError("This node is not part of a swarm");
  }
  if (!force && backend.manager() !== undefined) {
    throw new UnavailableError(
      "You are attempting to leave the swarm on a node that is participating as a manager. Removing the last manager erases all current state of the swarm. Use `--force` to ignore this message. ",
    );
  }
  await backend.leave(force);
  return { status: 200 };
}

export async function postSwarmUpdate(call: ApiCall): Promise<Answer> {
  const body = decodeText(clusterSpec, (await bodyOf(call)).toString("utf8"));
  const { spec, material } = separateSigningMaterial(body);
  const version = versionParam(call.query, "swarm");
  const rotateWorker = flagParam(call.query, "rotateWorkerToken");
  const rotateManager = flagParam(call.query, "rotateManagerToken");
  if (flagParam(call.query, "rotateManagerUnlockKey")) throw autolockRefusal();
  const manager = requireManager(call.context);
  if (spec.name !== "default") throw wrongName();
  const isOld = (snapshot: Snapshot) => requireCluster(snapshot).version.index !== version;
  if (isOld(manager.store.view())) throw outOfSequence();
  validateClusterSpec(spec);
  const { forceRotate = 0 } = spec.caConfig;
  const { signingCACert = "", signingCAKey = "" } = material;
  await manager.changeRoot({ forceRotate, signingCACert, signingCAKey }, (plan) =>
    manager.store.update((tx) => {
      if (isOld(tx)) throw outOfSequence();
      const { rootRotation: _before, ...cluster } = requireCluster(tx);
      tx.putWritten("cluster", { ...cluster, ...plan, spec });
    }),
  );
  if (rotateWorker) await manager.rotateJoinToken("worker");
  if (rotateManager) await manager.rotateJoinToken("manager");
  return { status: 200 };
}

export function getUnlockKey(call: ApiCall): Answer {
  requireManager(call.context);
  return { status: 200, body: { UnlockKey: "" } };
}

export function postSwarmUnlock(call: ApiCall): Answer {
  requireManager(call.context);
  throw new ConflictError("swarm is not locked");
}

function requireCluster(snapshot: Snapshot): Cluster {
  const cluster = findCluster(snapshot);
  if (cluster === undefined) throw new SystemError("the cluster's object is missing in the store");
  return cluster;
}

function validateClusterSpec(spec: ClusterSpec): void {
  if (spec.name !== "default") throw wrongName();
  if (spec.encryptionConfig.autoLockManagers) throw autolockRefusal();
  if (spec.caConfig.nodeCertExpiry < NANOSECONDS_PER_HOUR) {
    throw rpcError("InvalidArgument", "minimum certificate expiry time is: 1h0m0s");
  }
  if (spec.dispatcher.heartbeatPeriod < 0) {
    throw rpcError("InvalidArgument", "heartbeat time period cannot be a negative duration");
  }
}

/** As Docker reads these: a boolean in Go's spelling, refused in fewer words than elsewhere. */
function flagParam(query: URLSearchParams, name: string): boolean {
  const value = query.get(name) ?? "";
  if (["", "0", "f", "F", "FALSE", "false", "False"].includes(value)) return false;
  if (["1", "t", "T", "TRUE", "true", "True"].includes(value)) return true;
  throw new InvalidParameterError(`invalid value for ${name}: ${value}`);
}

function alreadyInSwarm(): Error {
  return new UnavailableError(
    'This node is already part of a swarm. Use "docker swarm leave" to leave this swarm and join another one.',
  );
}

function wrongName(): Error {
  return new InvalidParameterError('swarm spec must be named "default"');
}

function autolockRefusal(): Error {
  return new NotImplementedError(
    "autolock is not supported by Weft: protect the manager's data directory by the host's own means",
  );
}
