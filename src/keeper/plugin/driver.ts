/**
 * Weft as the Engine's network driver, as a function: the keeper's state and a request in, the next
 * state, the answer and what has to be done to the host's links out. No I/O, so each call can be
 * repeated, and is: the Engine asks again when an answer was lost.
 */
import { unreachable } from "../../base/assert.ts";
import { ConflictError, InvalidParameterError, NotFoundError } from "../../base/errors.ts";
import { macOf, PORT_PREFIX } from "../../base/overlay-links.ts";
import type { EndpointRecord, KeeperNetwork, KeeperState } from "../state.ts";
import {
  ADDRESS_SPACE,
  GATEWAY_ADDRESS,
  GATEWAY_ADDRESS6,
  requestAddress,
  requestPool,
} from "./ipam.ts";
import type { PluginRequest } from "./requests.ts";

export type LinkEffect =
  | {
      readonly kind: "link.create";
      readonly link: string;
      readonly peer: string;
      readonly address: string;
      readonly addressIPv6?: string;
      /** The uplink's less the tunnel's overhead when absent. */
      readonly mtu?: number;
    }
  | {
      readonly kind: "port.create";
      readonly link: string;
      readonly peer: string;
      readonly vni: number;
      readonly mac: string;
      /** The uplink's less the tunnel's overhead when absent. */
      readonly mtu?: number;
    }
  | { readonly kind: "link.delete"; readonly link: string };

export interface PluginResult {
  readonly state: KeeperState;
  readonly response: Readonly<Record<string, unknown>>;
  readonly effects: readonly LinkEffect[];
}

export interface PluginContext {
  /** Whether the host has a link of that name. */
  readonly linkExists: (link: string) => boolean;
}

/** Names of both ends: the host's, and the one that the Engine moves into the container. Linux allows 15 characters. */
export function linkNames(endpointID: string): { link: string; port: string; peer: string } {
  const short = endpointID.slice(0, ID_CHARACTERS);
  return { link: `${LINK_PREFIX}${short}`, port: `${PORT_PREFIX}${short}`, peer: `wc${short}` };
}

const ID_CHARACTERS = 12;
/** Of a link that is routed to. */
const LINK_PREFIX = "wv";
const OWN_LINK = new RegExp(`^(?:${LINK_PREFIX}|${PORT_PREFIX})([0-9a-f]{${ID_CHARACTERS}})$`);

/** The far end of a link of the keeper's; undefined for any other link. */
export function peerOf(link: string): string | undefined {
  const short = OWN_LINK.exec(link)?.[1];
  return short === undefined ? undefined : linkNames(short).peer;
}

export function handle(
  state: KeeperState,
  request: PluginRequest,
  context: PluginContext,
): PluginResult {
  const answer = (response: PluginResult["response"]) => ({ state, response, effects: [] });
  switch (request.kind) {
    case "activate":
      return answer({ Implements: ["NetworkDriver", "IpamDriver"] });
    case "network.capabilities":
      return answer({ Scope: "local", ConnectivityScope: "local" });
    case "network.create":
      return createNetwork(state, request);
    case "network.delete":
      return deleteNetwork(state, request.networkID);
    case "endpoint.create":
      return createEndpoint(state, request, context);
    case "endpoint.info":
      return answer({ Value: {} });
    case "endpoint.delete":
      return deleteEndpoint(state, request.endpointID);
    case "endpoint.join":
      return join(state, request);
    case "endpoint.leave":
      return leave(state, request.endpointID);
    case "acknowledge":
      return answer({});
    case "ipam.capabilities":
      return answer({ RequiresMACAddress: false, RequiresRequestReplay: false });
    case "ipam.addressSpaces":
      return answer({
        LocalDefaultAddressSpace: ADDRESS_SPACE,
        GlobalDefaultAddressSpace: ADDRESS_SPACE,
      });
    case "pool.request":
      return answer(requestPool(request));
    case "address.request":
      return answer(requestAddress(request));
    default:
      return unreachable(request);
  }
}

type Of<K extends PluginRequest["kind"]> = Extract<PluginRequest, { readonly kind: K }>;

function createNetwork(state: KeeperState, request: Of<"network.create">): PluginResult {
  const { kind: _, ...network } = request;
  const networks = new Map(state.networks).set(network.networkID, network);
  return { state: { ...state, networks }, response: {}, effects: [] };
}

function deleteNetwork(state: KeeperState, networkID: string): PluginResult {
  const networks = new Map(state.networks);
  networks.delete(networkID);
  return { state: { ...state, networks }, response: {}, effects: [] };
}

/**
 * A network that the state does not know is no reason to refuse: the Engine keeps its own books, and
 * all that the keeper would know of it is an MTU.
 */
function createEndpoint(
  state: KeeperState,
  request: Of<"endpoint.create">,
  { linkExists }: PluginContext,
): PluginResult {
  const { networkID, endpointID, address, addressIPv6 } = request;
  const vni = state.networks.get(networkID)?.vni;
  for (const other of state.endpoints.values()) {
    if (other.endpointID === endpointID || other.address !== address || other.vni !== vni) continue;
    if (other.state === "joined" && linkExists(other.link)) {
      throw new ConflictError(`address ${address} is in use by endpoint ${other.endpointID}`);
    }
  }
  const { link, port } = linkNames(endpointID);
  const endpoint = {
    networkID,
    endpointID,
    address,
    link: vni === undefined ? link : port,
    state: "created",
    gateway: false,
    ...(addressIPv6 === undefined ? {} : { addressIPv6 }),
    ...(vni === undefined ? {} : { vni }),
  } as const;
  if (vni !== undefined) refuseOtherMAC(address, request.macAddress);
  const given = request.macAddress === undefined ? { MacAddress: macOf(address) } : {};
  return { state: withEndpoint(state, endpoint), response: { Interface: given }, effects: [] };
}

/** The other nodes know the address alone: they send frames to the MAC address that is made from it. */
function refuseOtherMAC(address: string, given: string | undefined): void {
  const mac = macOf(address);
  if (given === undefined || given.toLowerCase() === mac) return;
  throw new InvalidParameterError(
    `a container on an overlay network has the MAC address of its IP address, ${mac}: start it without --mac-address`,
  );
}

/** Two endpoints of one sandbox that both return the gateway would keep the container from starting. */
function join(state: KeeperState, request: Of<"endpoint.join">): PluginResult {
  const { endpointID, sandboxKey } = request;
  const endpoint = state.endpoints.get(endpointID);
  if (endpoint === undefined) throw new NotFoundError(`endpoint ${endpointID} not found`);
  const network = state.networks.get(endpoint.networkID);
  if (endpoint.vni !== undefined) return joinBridge(state, request, endpoint, network);
  const gateway = ![...state.endpoints.values()].some(
    (other) => other.gateway && other.sandboxKey === sandboxKey && other.endpointID !== endpointID,
  );
  const { link, peer } = linkNames(endpointID);
  const { address, addressIPv6 } = endpoint;
  const addresses = addressIPv6 === undefined ? { address } : { address, addressIPv6 };
  return {
    state: withEndpoint(state, { ...endpoint, state: "joined", sandboxKey, gateway }),
    response: {
      InterfaceName: { SrcName: peer, DstPrefix: "eth" },
      // With its gateway the Engine sees that no other way out is needed, whatever else the container is on.
      ...(gateway ? gatewaysOf(endpoint) : { DisableGatewayService: true }),
    },
    effects: [{ kind: "link.create", link, peer, ...addresses, ...mtuOf(network) }],
  };
}

/** No gateway: unless the network is internal or another gives one, the Engine adds its docker_gwbridge as the way out. */
function joinBridge(
  state: KeeperState,
  { endpointID, sandboxKey }: Of<"endpoint.join">,
  endpoint: EndpointRecord,
  network: KeeperNetwork | undefined,
): PluginResult {
  const { port: link, peer } = linkNames(endpointID);
  const { vni = 0, address } = endpoint;
  return {
    state: withEndpoint(state, { ...endpoint, state: "joined", sandboxKey, gateway: false }),
    response: { InterfaceName: { SrcName: peer, DstPrefix: "eth" } },
    effects: [{ kind: "port.create", link, peer, vni, mac: macOf(address), ...mtuOf(network) }],
  };
}

function mtuOf(network: KeeperNetwork | undefined): { readonly mtu?: number } {
  return network?.mtu === undefined ? {} : { mtu: network.mtu };
}

/** The gateway is in no subnet of the container, so a route on the link itself (type 1) leads to it. */
function gatewaysOf({ addressIPv6 }: EndpointRecord) {
  const onLink = (Destination: string) => ({ Destination, RouteType: 1, NextHop: "" });
  const route = onLink(`${GATEWAY_ADDRESS}/32`);
  if (addressIPv6 === undefined) return { Gateway: GATEWAY_ADDRESS, StaticRoutes: [route] };
  return {
    Gateway: GATEWAY_ADDRESS,
    GatewayIPv6: GATEWAY_ADDRESS6,
    StaticRoutes: [route, onLink(`${GATEWAY_ADDRESS6}/128`)],
  };
}

function leave(state: KeeperState, endpointID: string): PluginResult {
  const endpoint = state.endpoints.get(endpointID);
  const effects = deletions(endpointID, endpoint);
  if (endpoint === undefined) return { state, response: {}, effects };
  const { sandboxKey: _left, ...rest } = endpoint;
  const next = withEndpoint(state, { ...rest, state: "created", gateway: false });
  return { state: next, response: {}, effects };
}

function deleteEndpoint(state: KeeperState, endpointID: string): PluginResult {
  const endpoints = new Map(state.endpoints);
  endpoints.delete(endpointID);
  const effects = deletions(endpointID, state.endpoints.get(endpointID));
  return { state: { ...state, endpoints }, response: {}, effects };
}

/** Of an endpoint that the state does not know nobody can tell which of the two its link was. */
function deletions(endpointID: string, endpoint: EndpointRecord | undefined): LinkEffect[] {
  const { link, port } = linkNames(endpointID);
  const links = endpoint === undefined ? [link, port] : [endpoint.link];
  return links.map((one) => ({ kind: "link.delete", link: one }));
}

function withEndpoint(state: KeeperState, endpoint: EndpointRecord): KeeperState {
  const endpoints = new Map(state.endpoints).set(endpoint.endpointID, endpoint);
  return { ...state, endpoints };
}
