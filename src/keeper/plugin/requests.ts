/**
 * libnetwork's remote driver protocol, decoded: each path the Engine posts to and what Weft reads of
 * its body (moby/libnetwork docs/remote.md and docs/ipam.md).
 */

import { InvalidParameterError } from "../../base/errors.ts";
import { isOfIPv6 } from "../../base/ip-address.ts";
import {
  addressIPv6Of,
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
import {
  KIND_OPTION,
  KIND_OVERLAY,
  MTU_OPTION,
  VNI_MAX,
  VNI_MIN,
  VNI_OPTION,
} from "./network-options.ts";

export type PluginRequest =
  | { readonly kind: "activate" }
  | { readonly kind: "network.capabilities" }
  | {
      readonly kind: "network.create";
      readonly networkID: string;
      readonly mtu?: number;
      /** Of an overlay network. */
      readonly vni?: number;
    }
  | { readonly kind: "network.delete"; readonly networkID: string }
  | {
      readonly kind: "endpoint.create";
      readonly networkID: string;
      readonly endpointID: string;
      readonly address: string;
      readonly addressIPv6?: string;
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
  | {
      readonly kind: "pool.request";
      readonly pool?: string;
      readonly v6: boolean;
      /** The addresses of its containers carry the subnet's prefix length. */
      readonly bridged: boolean;
    }
  | {
      readonly kind: "address.request";
      readonly poolID: string;
      readonly address?: string;
      readonly gateway: boolean;
    };

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
  const generic = optionalObject(options, GENERIC_OPTIONS);
  const isOverlay = kindOf(generic) === KIND_OVERLAY;
  // With another IPAM driver, addresses would not be the managers'.
  for (const family of ["IPv4Data", "IPv6Data"]) {
    for (const entry of listOf(body[family] ?? [], family)) {
      if (objectOf(entry, family)["AddressSpace"] !== ADDRESS_SPACE) {
        throw new InvalidParameterError(
          "a network of Weft needs Weft's own IPAM driver: create it with --ipam-driver weft",
        );
      }
    }
  }
  const mtu = optionalString(generic, MTU_OPTION);
  return {
    kind: "network.create",
    networkID,
    ...(mtu === undefined ? {} : { mtu: numberOption(MTU_OPTION, mtu, MTU_MIN, MTU_MAX) }),
    ...(isOverlay ? { vni: vniOption(generic) } : {}),
  };
}

function vniOption(generic: JSONObject): number {
  return numberOption(VNI_OPTION, stringField(generic, VNI_OPTION), VNI_MIN, VNI_MAX);
}

function numberOption(option: string, text: string, least: number, most: number): number {
  return integerIn(Number(text), `option ${option}`, least, most);
}

/** Undefined for a network that is routed. */
function kindOf(options: JSONObject): typeof KIND_OVERLAY | undefined {
  const kind = optionalString(options, KIND_OPTION);
  if (kind === undefined || kind === KIND_OVERLAY) return kind;
  throw new InvalidParameterError(`option ${KIND_OPTION} is ${kind} and not ${KIND_OVERLAY}`);
}

function createEndpoint(body: JSONObject): PluginRequest {
  const given = optionalObject(body, "Interface");
  const macAddress = optionalString(given, "MacAddress");
  const addressIPv6 = optionalString(given, "AddressIPv6");
  return {
    kind: "endpoint.create",
    networkID: stringField(body, "NetworkID"),
    endpointID: endpointField(body),
    address: addressOf(stringField(given, "Address")),
    ...(addressIPv6 === undefined ? {} : { addressIPv6: addressIPv6Of(addressIPv6) }),
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

function anyAddressOf(text: string): string {
  return isOfIPv6(text) ? addressIPv6Of(text) : addressOf(text);
}

function requestPool(body: JSONObject): PluginRequest {
  const pool = optionalString(body, "Pool");
  return {
    kind: "pool.request",
    v6: body["V6"] === true,
    bridged: kindOf(optionalObject(body, "Options")) === KIND_OVERLAY,
    ...(pool === undefined ? {} : { pool }),
  };
}

function requestAddress(body: JSONObject): PluginRequest {
  const address = optionalString(body, "Address");
  const type = optionalString(optionalObject(body, "Options"), ADDRESS_TYPE_OPTION);
  return {
    kind: "address.request",
    poolID: stringField(body, "PoolID"),
    gateway: type === GATEWAY_TYPE,
    ...(address === undefined ? {} : { address: anyAddressOf(address) }),
  };
}
