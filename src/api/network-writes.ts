/**
 * How a network gets into the store and out of it: checks and write are one transaction. Pure but for the
 * transaction they are handed; order and texts are SwarmKit's (manager/controlapi/network.go).
 */
import {
  ConflictError,
  InvalidParameterError,
  NotFoundError,
  NotImplementedError,
} from "../base/errors.ts";
import { type NetworkID, newID } from "../base/ids.ts";
import { findIngressNetwork, serviceNetworks } from "../cluster/finders.ts";
import { INGRESS_VNI } from "../cluster/initial-objects.ts";
import { claimVNI, freeVNI, type SubnetsRequest, subnetsOf } from "../cluster/network-numbers.ts";
import { isTaskStateAtLeast, type Network, type NetworkSpec } from "../cluster/objects.ts";
import type { Snapshot, Transaction } from "../cluster/store.ts";
import { rpcError } from "./errors.ts";
import { isNamedLike } from "./names.ts";
import type { NetworkCreateRequest } from "./wire/network-create.ts";

/** A DNS label's length: names are answered below the network's. */
const MAX_NAME_LENGTH = 63;
const NAME = /^[A-Za-z0-9](?:[-_]*[A-Za-z0-9]+)*$/;
const MTU_OPTION = "com.docker.network.driver.mtu";
const VNI_OPTION = "com.docker.network.driver.overlay.vxlanid_list";
/** IPv4's own least, and more than any link has. */
const MTU_MIN = 68;
const MTU_MAX = 65_535;
const OPTIONS = [MTU_OPTION, VNI_OPTION];

/** Throws what is wrong with a request by itself, whatever else is in the cluster. */
export function validateNetwork(request: NetworkCreateRequest): void {
  const { name, driver, ipam, options } = request;
  if (name === "") throw invalid("meta: name must be provided");
  if (!NAME.test(name)) throw invalid("name must be valid as a DNS name component");
  if (name.length > MAX_NAME_LENGTH) {
    throw invalid(`name must be ${MAX_NAME_LENGTH} characters or fewer`);
  }
  if (request.ingress && request.attachable) {
    throw invalid("ingress network cannot be attachable");
  }
  if (driver !== "overlay") {
    if (["bridge", "host", "null", "macvlan", "ipvlan"].includes(driver)) {
      throw new NotImplementedError(
        `networks of driver ${driver} that span the cluster are not supported by Weft: use overlay`,
      );
    }
    throw new NotFoundError(`plugin ${JSON.stringify(driver)} not found`);
  }
  if (!["", "default"].includes(ipam.driver)) {
    throw invalid(`error during lookup of plugin ${ipam.driver}`);
  }
  for (const config of ipam.config) {
    if (Object.keys(config.auxAddresses).length > 0) {
      throw new NotImplementedError(
        "auxiliary addresses are not supported by Weft: keep them out with --ip-range",
      );
    }
  }
  validateOptions(options);
}

function validateOptions(options: NetworkSpec["driverOptions"]): void {
  if (Object.hasOwn(options, "encrypted") && options["encrypted"] !== "false") {
    throw new NotImplementedError(
      "encrypted overlay networks are not supported by Weft: packets between its nodes are not encrypted",
    );
  }
  const mtu = options[MTU_OPTION];
  if (
    mtu !== undefined &&
    !(/^\d+$/.test(mtu) && Number(mtu) >= MTU_MIN && Number(mtu) <= MTU_MAX)
  ) {
    throw invalid(`invalid value for ${MTU_OPTION}: ${mtu}`);
  }
  for (const option of Object.keys(options)) {
    if (!OPTIONS.includes(option) && option !== "encrypted" && option.startsWith("com.docker.")) {
      throw new NotImplementedError(`network option ${option} is not supported by Weft`);
    }
  }
}

/** Puts a new network; returns what it is known by. */
export function createNetwork(
  tx: Transaction,
  request: NetworkCreateRequest,
  hostRoutes: SubnetsRequest["hostRoutes"],
  lastVNI?: number,
): Pick<Network, "id" | "vni"> {
  if (tx.list("network").some(({ spec }) => isNamedLike(spec.name, request.name))) {
    throw nameTaken(request.name);
  }
  const ingress = findIngressNetwork(tx);
  if (request.ingress && ingress !== undefined) {
    throw rpcError("AlreadyExists", `ingress network (${ingress.id}) is already present`);
  }
  const { [VNI_OPTION]: vni, encrypted: _, ...driverOptions } = request.options;
  const config = [...subnets(tx, request, hostRoutes)];
  const free = () => (request.ingress ? INGRESS_VNI : freeVNI(tx, lastVNI));
  const id = newID<NetworkID>();
  const number = vni === undefined ? free() : claimVNI(tx, vni);
  tx.put("network", {
    id,
    spec: specOf(request, driverOptions),
    ipam: { driver: "default", config },
    vni: number,
  });
  return { id, vni: number };
}

function specOf(request: NetworkCreateRequest, driverOptions: NetworkSpec["driverOptions"]) {
  const { name, labels, driver, internal, attachable, ingress, enableIPv6: ipv6Enabled } = request;
  return { name, labels, driver, driverOptions, internal, attachable, ingress, ipv6Enabled };
}

function subnets(tx: Transaction, request: NetworkCreateRequest, hostRoutes: readonly string[]) {
  const { config } = request.ipam;
  const given = subnetsOf(tx, { config, ipv6Enabled: request.enableIPv6, hostRoutes });
  if (!request.ingress) return given;
  if (request.enableIPv6 || given.length > 1) {
    throw new NotImplementedError(
      "the ingress network has one IPv4 subnet: IPv6 clients reach published ports all the same",
    );
  }
  return given;
}

/** The refusal of a name that another network has. */
export function nameTaken(name: string): ConflictError {
  return new ConflictError(`network with name ${name} already exists`);
}

/** Takes a network out of the store, unless somebody uses it. */
export function removeNetwork(tx: Transaction, network: Network): void {
  const user = userOf(tx, network);
  if (user !== undefined) throw rpcError("FailedPrecondition", user);
  tx.delete("network", network.id);
}

/** Why the network has to stay, in Docker's words; undefined when nothing needs it. */
export function userOf(snapshot: Snapshot, network: Network): string | undefined {
  if (network.spec.ingress) return userOfIngress(snapshot);
  const service = snapshot
    .list("service")
    .find(({ spec }) =>
      serviceNetworks(snapshot, spec).some((each) => each.network.id === network.id),
    );
  if (service !== undefined) return `network ${network.id} is in use by service ${service.id}`;
  const task = snapshot
    .list("task")
    .find(
      ({ networksAttachments, desiredState, status }) =>
        !isTaskStateAtLeast(desiredState, "complete") &&
        !isTaskStateAtLeast(status.state, "complete") &&
        networksAttachments.some((attachment) => attachment.network.id === network.id),
    );
  const attachment = snapshot.list("attachment").find(({ networkID }) => networkID === network.id);
  // Docker calls the place of an attached container a task too.
  const user = task ?? attachment;
  return user === undefined ? undefined : `network ${network.id} is in use by task ${user.id}`;
}

function userOfIngress(snapshot: Snapshot): string | undefined {
  const service = snapshot
    .list("service")
    .find(({ spec }) => spec.endpointSpec?.ports.some((port) => port.publishMode === "ingress"));
  return service === undefined
    ? undefined
    : `ingress network cannot be removed because service ${service.id} depends on it`;
}

function invalid(description: string): InvalidParameterError {
  return rpcError("InvalidArgument", description);
}
