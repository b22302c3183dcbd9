/**
 * Weft as the Engine's network driver, as a function: the keeper's state and a request in, the next
 * state, the answer and what has to be done to the host's links out. No I/O, so each call can be
 * repeated, and is: the Engine asks again when an answer was lost.
 */
import { unreachable } from "../../base/assert.ts";
import { ConflictError, NotFoundError } from "../../base/errors.ts";
import type { EndpointRecord, KeeperState } from "../state.ts";
import { ADDRESS_SPACE, GATEWAY_ADDRESS, requestAddress, requestPool } from "./ipam.ts";
import type { PluginRequest } from "./requests.ts";

export type LinkEffect =
  | {
      readonly kind: "link.create";
      readonly link: string;
      readonly peer: string;
      readonly address: string;
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
export function linkNames(endpointID: string): { link: string; peer: string } {
  const short = endpointID.slice(0, 12);
  return { link: `wv${short}`, peer: `wc${short}` };
}

/** What Docker does too: 02:42 and the four bytes of the address. */
export function macAddressOf(address: string): string {
  const bytes = address.split(".").map((part) => Number(part).toString(16).padStart(2, "0"));
  return ["02", "42", ...bytes].join(":");
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
  const { networkID, mtu } = request;
  const network = mtu === undefined ? { networkID } : { networkID, mtu };
  const networks = new Map(state.networks).set(networkID, network);
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
  const { networkID, endpointID, address } = request;
  for (const other of state.endpoints.values()) {
    if (other.endpointID === endpointID || other.address !== address) continue;
    if (other.state === "joined" && linkExists(other.link)) {
      throw new ConflictError(`address ${address} is in use by endpoint ${other.endpointID}`);
    }
  }
  const { link } = linkNames(endpointID);
  const endpoint = {
    networkID,
    endpointID,
    address,
    link,
    state: "created",
    gateway: false,
  } as const;
  const given = request.macAddress === undefined ? { MacAddress: macAddressOf(address) } : {};
  return { state: withEndpoint(state, endpoint), response: { Interface: given }, effects: [] };
}

/** Two endpoints of one sandbox that both return the gateway would keep the container from starting. */
function join(state: KeeperState, request: Of<"endpoint.join">): PluginResult {
  const { endpointID, sandboxKey } = request;
  const endpoint = state.endpoints.get(endpointID);
  if (endpoint === undefined) throw new NotFoundError(`endpoint ${endpointID} not found`);
  const gateway = ![...state.endpoints.values()].some(
    (other) => other.gateway && other.sandboxKey === sandboxKey && other.endpointID !== endpointID,
  );
  const mtu = state.networks.get(endpoint.networkID)?.mtu;
  const { link, peer } = linkNames(endpointID);
  const { address } = endpoint;
  return {
    state: withEndpoint(state, { ...endpoint, state: "joined", sandboxKey, gateway }),
    response: {
      InterfaceName: { SrcName: peer, DstPrefix: "eth" },
      ...(gateway ? gatewayOf() : {}),
      DisableGatewayService: true,
    },
    effects: [{ kind: "link.create", link, peer, address, ...(mtu === undefined ? {} : { mtu }) }],
  };
}

/** The gateway is in no subnet of the container, so a route on the link itself (type 1) leads to it. */
function gatewayOf() {
  const route = { Destination: `${GATEWAY_ADDRESS}/32`, RouteType: 1, NextHop: "" };
  return { Gateway: GATEWAY_ADDRESS, StaticRoutes: [route] };
}

function leave(state: KeeperState, endpointID: string): PluginResult {
  const { link } = linkNames(endpointID);
  const effects = [{ kind: "link.delete", link }] as const;
  const endpoint = state.endpoints.get(endpointID);
  if (endpoint === undefined) return { state, response: {}, effects };
  const { sandboxKey: _left, ...rest } = endpoint;
  const next = withEndpoint(state, { ...rest, state: "created", gateway: false });
  return { state: next, response: {}, effects };
}

function deleteEndpoint(state: KeeperState, endpointID: string): PluginResult {
  const endpoints = new Map(state.endpoints);
  endpoints.delete(endpointID);
  const { link } = linkNames(endpointID);
  return {
    state: { ...state, endpoints },
    response: {},
    effects: [{ kind: "link.delete", link }],
  };
}

function withEndpoint(state: KeeperState, endpoint: EndpointRecord): KeeperState {
  const endpoints = new Map(state.endpoints).set(endpoint.endpointID, endpoint);
  return { ...state, endpoints };
}
