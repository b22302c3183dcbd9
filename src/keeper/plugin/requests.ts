/**
 * libnetwork's remote driver protocol, decoded: each path the Engine posts to and what Weft reads of
 * its body (moby/libnetwork docs/remote.md and docs/ipam.md).
 */
import { InvalidParameterError } from "../../base/errors.ts";
import {
  addressOf,
  integerIn,
  type JSONObject,
  listOf,
  objectOf,
  optionalObject,
  optionalString,
  stringField,
} from "../decode.ts";
import { MTU_MAX, MTU_MIN } from "../state.ts";
import { ADDRESS_SPACE } from "./ipam.ts";

export type PluginRequest =
  | { readonly kind: "activate" }
  | { readonly kind: "network.capabilities" }
  | { readonly kind: "network.create"; readonly networkID: string; readonly mtu?: number }
  | { readonly kind: "network.delete"; readonly networkID: string }
  | {
      readonly kind: "endpoint.create";
      readonly networkID: string;
      readonly endpointID: string;
      readonly address: string;
      readonly macAddress?: string;
    }
  | { readonly kind: "endpoint.info" }
  | { readonly kind: "endpoint.delete"; readonly endpointID: string }
  | { readonly kind: "endpoint.join"; readonly endpointID: string; readonly sandboxKey: string }
  | { readonly kind: "endpoint.leave"; readonly endpointID: string }
  /** Announcements that need nothing done. */
  | { readonly kind: "acknowledge" }
  | { readonly kind: "ipam.capabilities" }
  | { readonly kind: "ipam.addressSpaces" }
  | { readonly kind: "pool.request"; readonly pool?: string; readonly v6: boolean }
  | {
      readonly kind: "address.request";
      readonly poolID: string;
      readonly address?: string;
      readonly gateway: boolean;
    };

const MTU_OPTION = "com.docker.network.driver.mtu";
const GENERIC_OPTIONS = "com.docker.network.generic";
const ADDRESS_TYPE_OPTION = "RequestAddressType";
const GATEWAY_TYPE = "com.docker.network.gateway";

const acknowledge = (): PluginRequest => ({ kind: "acknowledge" });

const DECODERS: Readonly<Record<string, (body: JSONObject) => PluginRequest>> = {
  "/Plugin.Activate": () => ({ kind: "activate" }),
  "/NetworkDriver.GetCapabilities": () => ({ kind: "network.capabilities" }),
  "/NetworkDriver.CreateNetwork": createNetwork,
  "/NetworkDriver.DeleteNetwork": (body) => ({
    kind: "network.delete",
    networkID: stringField(body, "NetworkID"),
  }),
  "/NetworkDriver.CreateEndpoint": createEndpoint,
  "/NetworkDriver.EndpointOperInfo": () => ({ kind: "endpoint.info" }),
  "/NetworkDriver.DeleteEndpoint": (body) => ({
    kind: "endpoint.delete",
    endpointID: endpointField(body),
  }),
  "/NetworkDriver.Join": (body) => ({
    kind: "endpoint.join",
    endpointID: endpointField(body),
    sandboxKey: stringField(body, "SandboxKey"),
  }),
  "/NetworkDriver.Leave": (body) => ({ kind: "endpoint.leave", endpointID: endpointField(body) }),
  "/NetworkDriver.DiscoverNew": acknowledge,
  "/NetworkDriver.DiscoverDelete": acknowledge,
  "/NetworkDriver.ProgramExternalConnectivity": acknowledge,
  "/NetworkDriver.RevokeExternalConnectivity": acknowledge,
  "/IpamDriver.GetCapabilities": () => ({ kind: "ipam.capabilities" }),
  "/IpamDriver.GetDefaultAddressSpaces": () => ({ kind: "ipam.addressSpaces" }),
  "/IpamDriver.RequestPool": requestPool,
  "/IpamDriver.ReleasePool": acknowledge,
  "/IpamDriver.RequestAddress": requestAddress,
  "/IpamDriver.ReleaseAddress": acknowledge,
};

/** Undefined for a path that Weft does not serve. */
export function decodeRequest(path: string, body: JSONObject): PluginRequest | undefined {
  return Object.hasOwn(DECODERS, path) ? DECODERS[path]?.(body) : undefined;
}

function createNetwork(body: JSONObject): PluginRequest {
  const networkID = stringField(body, "NetworkID");
  const options = optionalObject(body, "Options");
  if (options["com.docker.network.enable_ipv6"] === true) {
    throw new InvalidParameterError("Weft's networks are IPv4: create this one without --ipv6");
  }
  // With another IPAM driver, addresses would not be the managers' and their subnet would be on the link.
  for (const entry of listOf(body["IPv4Data"], "IPv4Data")) {
    if (objectOf(entry, "IPv4Data")["AddressSpace"] !== ADDRESS_SPACE) {
      throw new InvalidParameterError(
        "a network of Weft needs Weft's own IPAM driver: create it with --ipam-driver weft",
      );
    }
  }
  const text = optionalString(optionalObject(options, GENERIC_OPTIONS), MTU_OPTION);
  if (text === undefined) return { kind: "network.create", networkID };
  const mtu = integerIn(Number(text), `option ${MTU_OPTION}`, MTU_MIN, MTU_MAX);
  return { kind: "network.create", networkID, mtu };
}

function createEndpoint(body: JSONObject): PluginRequest {
  const given = optionalObject(body, "Interface");
  const macAddress = optionalString(given, "MacAddress");
  return {
    kind: "endpoint.create",
    networkID: stringField(body, "NetworkID"),
    endpointID: endpointField(body),
    address: addressOf(stringField(given, "Address")),
    ...(macAddress === undefined ? {} : { macAddress }),
  };
}

/** Checked for its form, because links are named by it. */
function endpointField(body: JSONObject): string {
  const endpointID = stringField(body, "EndpointID");
  if (!/^[0-9a-f]{12,64}$/.test(endpointID)) {
    throw new InvalidParameterError(`EndpointID ${endpointID} is not an id of the Engine`);
  }
  return endpointID;
}

function requestPool(body: JSONObject): PluginRequest {
  const pool = optionalString(body, "Pool");
  const v6 = body["V6"] === true;
  return pool === undefined ? { kind: "pool.request", v6 } : { kind: "pool.request", pool, v6 };
}

function requestAddress(body: JSONObject): PluginRequest {
  const address = optionalString(body, "Address");
  const type = optionalString(optionalObject(body, "Options"), ADDRESS_TYPE_OPTION);
  return {
    kind: "address.request",
    poolID: stringField(body, "PoolID"),
    gateway: type === GATEWAY_TYPE,
    ...(address === undefined ? {} : { address: addressOf(address) }),
  };
}
