/**
 * What the keeper must know to answer the Engine and to hold ports after it was killed: its own
 * state, as one value. The Engine and the daemon are asked for nothing at start.
 */
import { InvalidParameterError } from "../base/errors.ts";
import {
  addressIPv6Of,
  addressOf,
  integerIn,
  type JSONObject,
  listOf,
  objectOf,
  optionalString,
  parseObject,
  stringField,
} from "./decode.ts";
import { VNI_MAX, VNI_MIN } from "./plugin/network-options.ts";
import type { KeeperEndpoint, PortRequest } from "./protocol.ts";

/** A network that the Engine made through the plugin. */
export interface KeeperNetwork {
  readonly networkID: string;
  /** Given by the network's option; the uplink's less the tunnel's overhead when absent. */
  readonly mtu?: number;
  /** Of an overlay network, whose containers are on a bridge; absent for one whose containers are routed to. */
  readonly vni?: number;
}

export interface EndpointRecord extends KeeperEndpoint {
  /** Whether it is the one endpoint of its sandbox that returned the gateway. */
  readonly gateway: boolean;
}

export interface KeeperState {
  readonly networks: ReadonlyMap<string, KeeperNetwork>;
  readonly endpoints: ReadonlyMap<string, EndpointRecord>;
  readonly ports: readonly PortRequest[];
}

export const EMPTY_STATE: KeeperState = { networks: new Map(), endpoints: new Map(), ports: [] };

/** The least and the most that IPv4 and Linux let a link have. */
export const MTU_MIN = 68;
export const MTU_MAX = 65_535;

/** 1 knew no overlay networks; what it wrote is read as it is. */
const FORMAT = 2;
const FORMATS_READ: readonly unknown[] = [1, FORMAT];

export function encodeState(state: KeeperState): string {
  const { ports } = state;
  const networks = [...state.networks.values()];
  const endpoints = [...state.endpoints.values()];
  return `${JSON.stringify({ format: FORMAT, networks, endpoints, ports })}\n`;
}

export function decodeState(text: string): KeeperState {
  const object = parseObject(text, "the keeper's state");
  if (!FORMATS_READ.includes(object["format"])) {
    throw new InvalidParameterError(`the keeper's state has format ${String(object["format"])}`);
  }
  const networks = listOf(object["networks"], "networks").map(decodeNetwork);
  const endpoints = listOf(object["endpoints"], "endpoints").map(decodeEndpoint);
  return {
    networks: new Map(networks.map((network) => [network.networkID, network])),
    endpoints: new Map(endpoints.map((endpoint) => [endpoint.endpointID, endpoint])),
    ports: decodePorts(object),
  };
}

/** The `ports` of a body or of the state, each only once, in a stable order. */
export function decodePorts(object: JSONObject): readonly PortRequest[] {
  const byKey = new Map<string, PortRequest>();
  for (const entry of listOf(object["ports"], "ports")) {
    const { protocol, port } = objectOf(entry, "a port");
    if (protocol !== "tcp" && protocol !== "udp") {
      throw new InvalidParameterError(`protocol ${String(protocol)} is neither tcp nor udp`);
    }
    const request = { protocol, port: integerIn(port, "port", 1, 65_535) } as const;
    byKey.set(`${request.protocol}/${request.port}`, request);
  }
  return [...byKey.values()].sort(
    (a, b) => a.port - b.port || a.protocol.localeCompare(b.protocol),
  );
}

function decodeNetwork(value: unknown): KeeperNetwork {
  const object = objectOf(value, "a network");
  const { mtu, vni } = object;
  return {
    networkID: stringField(object, "networkID"),
    ...(mtu === undefined ? {} : { mtu: integerIn(mtu, "mtu", MTU_MIN, MTU_MAX) }),
    ...(vni === undefined ? {} : { vni: integerIn(vni, "vni", VNI_MIN, VNI_MAX) }),
  };
}

function decodeEndpoint(value: unknown): EndpointRecord {
  const object = objectOf(value, "an endpoint");
  const state = object["state"];
  if (state !== "created" && state !== "joined") {
    throw new InvalidParameterError(`an endpoint's state is ${String(state)}`);
  }
  const sandboxKey = optionalString(object, "sandboxKey");
  const addressIPv6 = optionalString(object, "addressIPv6");
  const { vni } = object;
  return {
    networkID: stringField(object, "networkID"),
    endpointID: stringField(object, "endpointID"),
    address: addressOf(stringField(object, "address")),
    link: stringField(object, "link"),
    state,
    gateway: object["gateway"] === true,
    ...(sandboxKey === undefined ? {} : { sandboxKey }),
    ...(addressIPv6 === undefined ? {} : { addressIPv6: addressIPv6Of(addressIPv6) }),
    ...(vni === undefined ? {} : { vni: integerIn(vni, "vni", VNI_MIN, VNI_MAX) }),
  };
}
