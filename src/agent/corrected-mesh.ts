/**
 * The mesh as managers have told it, corrected by what the nodes themselves say of their endpoints. Pure; of what is
 * as it was told, or was corrected in the same way before, the same value comes out again.
 */
import type { OverlayEndpoint, OverlayNetwork } from "../datapath/overlay/view.ts";
import type { MeshEndpoint, MeshService, PublishedTask } from "../datapath/view.ts";
import type { MeshConfig, ToldEndpoint, ToldService } from "../dispatcher/assignment.ts";
import type { EndpointPort, EndpointWord } from "../gossip/endpoint-news.ts";

/** What counts of an endpoint, whatever managers have told. */
export interface EndpointOverride {
  /** Ready lifts an endpoint that managers know to start, and no other: where they say more, they are right. */
  readonly word: EndpointWord;
  /** Of one that is ready: host-mode ports that it really has. */
  readonly ports?: readonly EndpointPort[];
  /** Of one that is ready: target ports that it serves over IPv6 too. */
  readonly ipv6Ports?: readonly string[];
}

export type EndpointOverrides = ReadonlyMap<string, EndpointOverride>;

/** A mesh without endpoints that only start, as a kernel is to have it. */
export interface CorrectedMesh extends Omit<MeshConfig, "services"> {
  readonly services: readonly MeshService[];
}

export function correctedMesh(mesh: MeshConfig, overrides: EndpointOverrides): CorrectedMesh {
  return {
    ...mesh,
    services: mesh.services.map((service) => correctedService(service, overrides)),
    networks: mesh.networks.map((network) => correctedNetwork(network, overrides)),
  };
}

interface Corrected<T> {
  readonly by: EndpointOverrides;
  readonly made: T;
}

const NO_OVERRIDES: EndpointOverrides = new Map();
const correctedServices = new WeakMap<ToldService, Corrected<MeshService>>();

function correctedService(service: ToldService, overrides: EndpointOverrides): MeshService {
  const known = correctedServices.get(service);
  if (known?.by === overrides) return known.made;
  const by = isAnySaid(service, overrides) ? overrides : NO_OVERRIDES;
  const made = known?.by === by ? known.made : madeService(service, by);
  correctedServices.set(service, { by, made });
  return made;
}

function isAnySaid(
  { endpoints, published = [] }: ToldService,
  overrides: EndpointOverrides,
): boolean {
  const isSaid = ({ taskID }: { readonly taskID: string }) => overrides.has(taskID);
  return overrides.size > 0 && (endpoints.some(isSaid) || published.some(isSaid));
}

function madeService(service: ToldService, overrides: EndpointOverrides): MeshService {
  return overrides === NO_OVERRIDES && isSettled(service)
    ? service
    : withOverrides(service, overrides);
}

function isSettled(service: ToldService): service is MeshService {
  return service.endpoints.every(({ state }) => state !== "starting");
}

function withOverrides(service: ToldService, overrides: EndpointOverrides): MeshService {
  const { published = [], ...rest } = service;
  const named = [
    ...published.filter(({ taskID }) => !isHidden(overrides.get(taskID))),
    ...service.endpoints.flatMap((endpoint) => publishedByWord(endpoint, overrides)),
  ];
  const endpoints = service.endpoints.flatMap((endpoint): readonly MeshEndpoint[] => {
    const state = stateOf(endpoint, overrides);
    if (state === undefined || state === "starting") return [];
    const { ipv6Ports = [] } = overrides.get(endpoint.taskID) ?? {};
    const isByWord = endpoint.state === "starting" && ipv6Ports.length > 0;
    return [{ ...endpoint, state, ...(isByWord ? { ipv6Ports } : {}) }];
  });
  return { ...rest, endpoints, ...(named.length === 0 ? {} : { published: named }) };
}

/** Managers name the ports of one that they know to run; of one that is ready before that its node does. */
function publishedByWord(
  { taskID, state, nodeIndex }: ToldEndpoint,
  overrides: EndpointOverrides,
): readonly PublishedTask[] {
  const said = overrides.get(taskID);
  if (state !== "starting" || said?.word !== "ready") return [];
  return (said.ports ?? []).map((port) => ({ taskID, ...port, nodeIndex }));
}

const correctedNetworks = new WeakMap<OverlayNetwork, Corrected<OverlayNetwork>>();

function correctedNetwork(network: OverlayNetwork, overrides: EndpointOverrides): OverlayNetwork {
  if (overrides.size === 0) return network;
  const known = correctedNetworks.get(network);
  if (known?.by === overrides) return known.made;
  const made = overriddenNetwork(network, overrides);
  correctedNetworks.set(network, { by: overrides, made });
  return made;
}

/** The very same network, services and containers where nobody has said anything of them. */
function overriddenNetwork(network: OverlayNetwork, overrides: EndpointOverrides): OverlayNetwork {
  const isSaid = ({ taskID }: OverlayEndpoint) => overrides.has(taskID);
  const corrected = (endpoints: readonly OverlayEndpoint[]) =>
    endpoints.flatMap((endpoint): readonly OverlayEndpoint[] => {
      const state = stateOf(endpoint, overrides);
      return state === undefined ? [] : [{ ...endpoint, state }];
    });
  const services = network.services.map((service) =>
    service.endpoints.some(isSaid)
      ? { ...service, endpoints: corrected(service.endpoints) }
      : service,
  );
  const isOther = services.some((service, at) => service !== network.services[at]);
  if (!isOther && !network.containers.some(isSaid)) return network;
  return { ...network, services, containers: corrected(network.containers) };
}

/** Undefined for one that is none any more. */
function stateOf(
  { taskID, state }: { readonly taskID: string; readonly state: ToldEndpoint["state"] },
  overrides: EndpointOverrides,
): ToldEndpoint["state"] | undefined {
  const word = overrides.get(taskID)?.word;
  if (word === "gone") return undefined;
  if (word === "draining") return "draining";
  return word === "ready" && state === "starting" ? "live" : state;
}

function isHidden(override: EndpointOverride | undefined): boolean {
  return override !== undefined && override.word !== "ready";
}
