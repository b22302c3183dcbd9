/**
 * Containers of users' own in the cluster's networks: `POST /containers/create`, `/networks/:id/connect` and
 * `/disconnect` are the Engine's, but for the address, which the managers give, and the aliases, which the cluster
 * answers: the Engine would answer them for this host alone.
 */

import { ForbiddenError, NotFoundError, UnavailableError, WeftError } from "../base/errors.ts";
import { isOfIPv6 } from "../base/ip-address.ts";
import { systemRandom } from "../base/random.ts";
import type { AttachmentPlace } from "../dispatcher/assignment.ts";
import { type Answer, type ApiCall, bodyOf, param } from "./call.ts";
import { inventName } from "./names.ts";
import { WEFT_DRIVER } from "./stand-ins.ts";
import { parseJson } from "./wire/json.ts";

type Json = Readonly<Record<string, unknown>>;

/** Of NetworkMode: no network's name. */
const OWN_MODES = /^(default|bridge|host|none|container:.*)?$/;
/** Invented names that the Engine has already; a further one is left to it. */
const NAMES_TRIED_MAX = 8;

/** Each of the cluster's networks that the container is to be in is replaced by the Engine's one, with an address. */
export async function postContainer(call: ApiCall): Promise<Answer> {
  const body = await bodyOf(call);
  const given: unknown = parseJson(body.toString("utf8"));
  const networks = isRecord(given) ? await clusterNetworksOf(call, given) : [];
  if (!isRecord(given) || networks.length === 0) return await passOn(call, body);
  const url = new URL(call.url, "http://weft");
  const name = url.searchParams.get("name") || (await freeName(call));
  url.searchParams.set("name", name);
  const places = new Map<string, AttachmentPlace>();
  try {
    for (const network of networks) {
      const endpoint = endpointOf(given, network);
      const place = await attach(call, network, name.replace(/^\//, ""), endpoint);
      if (place !== undefined) places.set(network, place);
    }
    if (places.size === 0) return await passOn(call, body);
    const path = `${url.pathname}${url.search}`;
    return await forwarded(call, "POST", path, withPlaces(given, places));
  } finally {
    for (const { attachmentID } of places.values()) call.context.backend.settle(attachmentID);
  }
}

export async function connectNetwork(call: ApiCall): Promise<Answer> {
  const body = await bodyOf(call);
  const given: unknown = parseJson(body.toString("utf8"));
  const network = param(call, "id");
  if (!isRecord(given) || !(await isClusters(call, network))) {
    if (await isNobodys(call, network)) throw unknownNetwork(network);
    return await passOn(call, body);
  }
  const container = await inspectContainer(call, textOf(given["Container"]));
  const connected = recordOf(recordOf(container["NetworkSettings"])["Networks"]);
  const local = call.context.backend.localNetwork(network);
  if (local !== undefined && connected[local] !== undefined) {
    throw new ForbiddenError(
      `${textOf(given["Container"])} is already attached to network ${local}`,
    );
  }
  const name = textOf(container["Name"]).replace(/^\//, "");
  const place = await attach(call, network, name, recordOf(given["EndpointConfig"]));
  if (place === undefined) throw unknownNetwork(network);
  try {
    const path = `/networks/${encodeURIComponent(place.networkName)}/connect`;
    const EndpointConfig = endpointConfig(recordOf(given["EndpointConfig"]), place);
    return await forwarded(call, "POST", path, { ...given, EndpointConfig });
  } finally {
    call.context.backend.settle(place.attachmentID);
  }
}

/** Whether neither this Engine nor the cluster that it is part of has such a network. */
async function isNobodys(call: ApiCall, network: string): Promise<boolean> {
  const { backend, engine } = call.context;
  if (backend.status().state !== "active") return false;
  const answer = await engine.get(`/networks/${encodeURIComponent(network)}`, call.signal);
  return answer.status === 404;
}

function unknownNetwork(network: string): NotFoundError {
  return new NotFoundError(
    `Could not attach to network ${network}: rpc error: code = NotFound desc = network ${network} not found`,
  );
}

/** By the Engine's name for it; the place is given back when the container is seen to be gone from it. */
export async function disconnectNetwork(call: ApiCall): Promise<Answer> {
  const body = await bodyOf(call);
  const local = call.context.backend.localNetwork(param(call, "id"));
  if (local === undefined) return await passOn(call, body);
  const given: unknown = parseJson(body.toString("utf8"));
  const path = `/networks/${encodeURIComponent(local)}/disconnect`;
  const answer = await forwarded(call, "POST", path, given);
  call.context.backend.settle("");
  return answer;
}

/** Undefined for a network that the managers do not know either: the Engine says so in its own way. */
async function attach(
  call: ApiCall,
  network: string,
  containerName: string,
  endpoint: Json,
): Promise<AttachmentPlace | undefined> {
  const address = textOf(recordOf(endpoint["IPAMConfig"])["IPv4Address"]);
  const aliases = Array.isArray(endpoint["Aliases"]) ? endpoint["Aliases"] : [];
  try {
    return await call.context.backend.attach({
      network,
      containerName,
      aliases: aliases.filter((alias) => typeof alias === "string"),
      ...(address === "" ? {} : { address }),
    });
  } catch (error) {
    if (error instanceof NotFoundError) return undefined;
    if (!(error instanceof WeftError) || error instanceof UnavailableError) throw error;
    throw new ForbiddenError(`Could not attach to network ${network}: ${error.message}`, {
      cause: error,
    });
  }
}

/** Names or ids as the user wrote them, of those networks that are not the Engine's own. */
async function clusterNetworksOf(call: ApiCall, given: Json): Promise<readonly string[]> {
  const mode = textOf(recordOf(given["HostConfig"])["NetworkMode"]);
  const endpoints = Object.keys(recordOf(recordOf(given["NetworkingConfig"])["EndpointsConfig"]));
  const wanted = new Set([mode, ...endpoints].filter((name) => !OWN_MODES.test(name)));
  const found: string[] = [];
  for (const name of wanted) if (await isClusters(call, name)) found.push(name);
  return found;
}

/** Whether a network is not the Engine's own, but one that the managers know. */
async function isClusters(call: ApiCall, name: string): Promise<boolean> {
  const { backend, engine } = call.context;
  if (backend.status().state !== "active") return false;
  if (backend.localNetwork(name) !== undefined) return true;
  const answer = await engine.get(`/networks/${encodeURIComponent(name)}`, call.signal);
  if (answer.status === 404) return await isKnown(call, name);
  const local: unknown = parseJson(answer.body.toString("utf8"));
  return isRecord(local) && local["Driver"] === WEFT_DRIVER;
}

/** A manager sees for itself; another node finds out by asking for a place. */
async function isKnown(call: ApiCall, name: string): Promise<boolean> {
  const networks = call.context.backend.manager()?.store.view().list("network");
  if (networks === undefined) return true;
  return networks.some(
    ({ id, spec }) => spec.name === name || (name !== "" && id.startsWith(name)),
  );
}

function withPlaces(given: Json, places: ReadonlyMap<string, AttachmentPlace>): Json {
  const hostConfig = recordOf(given["HostConfig"]);
  const networking = recordOf(given["NetworkingConfig"]);
  const mode = textOf(hostConfig["NetworkMode"]);
  const endpoints = Object.entries(recordOf(networking["EndpointsConfig"])).filter(
    ([name]) => !places.has(name),
  );
  for (const [name, place] of places) {
    endpoints.push([place.networkName, endpointConfig(endpointOf(given, name), place)]);
  }
  const NetworkMode = places.get(mode)?.networkName ?? mode;
  return {
    ...given,
    HostConfig: { ...hostConfig, NetworkMode },
    NetworkingConfig: { ...networking, EndpointsConfig: Object.fromEntries(endpoints) },
  };
}

function endpointOf(given: Json, network: string): Json {
  return recordOf(recordOf(recordOf(given["NetworkingConfig"])["EndpointsConfig"])[network]);
}

function endpointConfig(endpoint: Json, { addresses }: AttachmentPlace): Json {
  const ipv6 = addresses.find(isOfIPv6);
  return {
    ...endpoint,
    Aliases: null,
    NetworkID: "",
    IPAMConfig: {
      ...recordOf(endpoint["IPAMConfig"]),
      IPv4Address: addresses[0],
      ...(ipv6 === undefined ? {} : { IPv6Address: ipv6 }),
    },
  };
}

async function inspectContainer(call: ApiCall, reference: string): Promise<Json> {
  const path = `/containers/${encodeURIComponent(reference)}/json`;
  const answer = await call.context.engine.get(path, call.signal);
  const container: unknown = parseJson(answer.body.toString("utf8"));
  if (answer.status === 200 && isRecord(container)) return container;
  throw new NotFoundError(`No such container: ${reference}`);
}

/** The Engine would invent one too, but only when the cluster must have it already. */
async function freeName(call: ApiCall): Promise<string> {
  let name = "";
  for (let tries = 0; tries < NAMES_TRIED_MAX; tries++) {
    name = inventName(systemRandom, () => false);
    const answer = await call.context.engine.get(`/containers/${name}/json`, call.signal);
    if (answer.status === 404) return name;
  }
  return name;
}

async function forwarded(
  call: ApiCall,
  method: string,
  path: string,
  body: unknown,
): Promise<Answer> {
  const answer = await call.context.engine.ask(method, path, call.signal, body);
  const text = answer.body.toString("utf8");
  return text === "" ? { status: answer.status } : { status: answer.status, body: parseJson(text) };
}

async function passOn(call: ApiCall, body: Buffer): Promise<Answer> {
  await call.context.engine.forward(call.request, call.response, call.url, { body });
  return undefined;
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function recordOf(value: unknown): Json {
  return isRecord(value) ? value : {};
}

function isRecord(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
