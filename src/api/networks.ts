/**
 * `/networks`: the local Engine's own and the cluster's in one listing. The Engine has a local network of
 * driver `weft` behind each of the cluster's that has tasks here; it is shown as the cluster's, never beside it.
 */
import { delay } from "../base/clock.ts";
import { InvalidParameterError, NotFoundError, SystemError } from "../base/errors.ts";
import { findNetworkAmong } from "../cluster/finders.ts";
import type { Network } from "../cluster/objects.ts";
import { isPredefined } from "../cluster/predefined-networks.ts";
import type { Snapshot, Store } from "../cluster/store.ts";
import { type Answer, type ApiCall, bodyOf, boolParam, param } from "./call.ts";
import { Filters, parseFilters, readFilters } from "./filters.ts";
import { requireManager } from "./manager.ts";
import { networkDetails } from "./network-details.ts";
import {
  createNetwork,
  nameTaken,
  removeNetwork,
  userOf,
  validateNetwork,
} from "./network-writes.ts";
import { WEFT_DRIVER } from "./stand-ins.ts";
import { parseJson } from "./wire/json.ts";
import { encodeNetwork } from "./wire/network.ts";
import { networkCreateRequest } from "./wire/network-create.ts";
import { decodeValue } from "./wire/schema.ts";

/** A network that still has containers of users' own after this time is in use. */
const DETACH_MS_MAX = 2_000;
const DETACH_LOOK_MS = 100;

export async function listNetworks(call: ApiCall): Promise<Answer> {
  const answer = await call.context.engine.get(call.url, call.signal);
  const local: unknown = parseJson(answer.body.toString("utf8"));
  if (answer.status !== 200 || !Array.isArray(local)) return { status: answer.status, body: local };
  const filters = new Filters(readFilters(call.query));
  const { backend } = call.context;
  const snapshot = backend.manager()?.store.view();
  const known = backend.networks();
  const cluster = known.filter((each) => isListed(snapshot, each, filters));
  // One that the managers have removed is nobody's to see; without a word from them the Engine's is all that there is.
  const isHidden = (network: unknown) =>
    driverOf(network) === WEFT_DRIVER && (snapshot !== undefined || known.length > 0);
  const own = local.filter((network) => !isHidden(network)).map(disguise);
  return { status: 200, body: [...cluster.map((network) => encodeNetwork(network)), ...own] };
}

/** The cluster's own by id, name or prefix; any other is the Engine's to answer. */
export async function inspectNetwork(call: ApiCall): Promise<Answer> {
  const scope = call.query.get("scope") ?? "";
  const network = scope === "local" ? undefined : await clusterNetwork(call);
  if (network !== undefined) return { status: 200, body: await describe(call, network) };
  if (scope === "swarm") return { status: 200, body: predefinedNetwork(call) };
  await checkNotBehind(call);
  return passOn(call);
}

/** What the Engine still has behind a network that the cluster has not is nobody's to see: it goes with its last container. */
async function checkNotBehind(call: ApiCall): Promise<void> {
  const { backend, engine } = call.context;
  if (backend.manager() === undefined) return;
  const name = param(call, "id");
  const answer = await engine.get(`/networks/${encodeURIComponent(name)}`, call.signal);
  const local: unknown =
    answer.status === 200 ? parseJson(answer.body.toString("utf8")) : undefined;
  if (isRecord(local) && driverOf(local) === WEFT_DRIVER) {
    throw new NotFoundError(`network ${name} not found`);
  }
}

/** With the containers of this host, as its Engine knows them, and for `verbose` with all that is in it. */
async function describe(call: ApiCall, network: Network): Promise<unknown> {
  const { engine, backend } = call.context;
  const answer = await engine.get(
    `/networks/${encodeURIComponent(network.spec.name)}`,
    call.signal,
  );
  const local: unknown =
    answer.status === 200 ? parseJson(answer.body.toString("utf8")) : undefined;
  const containers =
    isRecord(local) && driverOf(local) === WEFT_DRIVER ? local["Containers"] : undefined;
  const snapshot = backend.manager()?.store.view();
  const verbose = boolParam(call.query, "verbose") && snapshot !== undefined;
  return {
    ...encodeNetwork(network, containers),
    ...(verbose ? networkDetails(snapshot, network) : {}),
  };
}

export async function deleteNetwork(call: ApiCall): Promise<Answer> {
  const network = await clusterNetwork(call);
  if (network === undefined) {
    await checkNotBehind(call);
    return passOn(call);
  }
  const { store } = requireManager(call.context);
  await untilDetached(call, network);
  await store.update((tx) => {
    const current = tx.get("network", network.id);
    if (current === undefined) throw new NotFoundError(`network ${param(call, "id")} not found`);
    removeNetwork(tx, current);
  });
  return { status: 204 };
}

/** A node says a moment after its container was removed that the place is free; whoever removes both does not wait. */
async function untilDetached(call: ApiCall, network: Network): Promise<void> {
  const { backend, clock } = call.context;
  const store = requireManager(call.context).store;
  for (let waitedMs = 0; waitedMs < DETACH_MS_MAX; waitedMs += DETACH_LOOK_MS) {
    const isAttached = store
      .view()
      .list("attachment")
      .some((each) => each.networkID === network.id);
    if (!isAttached) return;
    backend.settle("");
    await delay(clock, "detach", DETACH_LOOK_MS, call.signal);
  }
}

/** The Engine's own first; then what of the cluster's nobody uses. Weft's local networks are its own to take away. */
export async function pruneNetworks(call: ApiCall): Promise<Answer> {
  const { engine, backend } = call.context;
  const manager = backend.manager();
  const weft = await localNamesOf(call, WEFT_DRIVER);
  const answer = await engine.ask("POST", call.url, call.signal);
  const local: unknown = parseJson(answer.body.toString("utf8"));
  if (answer.status !== 200 || !isRecord(local)) return { status: answer.status, body: local };
  const filters = parseFilters(call.query, ["label", "label!", "until"]);
  const deleted = namesIn(local["NetworksDeleted"]).filter((name) => !weft.has(name));
  const cluster = await manager?.store.update((tx) => {
    const unused = tx
      .list("network")
      .filter((network) => isPrunable(network, filters) && userOf(tx, network) === undefined);
    for (const network of unused) tx.delete("network", network.id);
    return unused.map(({ spec }) => spec.name);
  });
  const all = [...deleted, ...(cluster ?? [])];
  return { status: 200, body: { ...local, NetworksDeleted: all.length === 0 ? null : all } };
}

function isPrunable(network: Network, filters: Filters): boolean {
  const { spec, createdAt } = network;
  return (
    !spec.ingress &&
    filters.labels("label", spec.labels) &&
    filters
      .get("label!")
      .every((label) => !new Filters(new Map([["label", [label]]])).labels("label", spec.labels)) &&
    filters.get("until").every((until) => Date.parse(createdAt) < untilOf(until))
  );
}

/** Seconds since 1970, or a time; the Engine has refused what it cannot read, durations included are its own. */
function untilOf(text: string): number {
  const seconds = Number(text);
  const at = Number.isFinite(seconds) ? seconds * 1_000 : Date.parse(text);
  return Number.isNaN(at) ? Number.NEGATIVE_INFINITY : at;
}

async function localNamesOf(call: ApiCall, driver: string): Promise<ReadonlySet<string>> {
  const answer = await call.context.engine.get("/networks", call.signal);
  const local: unknown = answer.status === 200 ? parseJson(answer.body.toString("utf8")) : [];
  const networks = Array.isArray(local) ? local.filter(isRecord) : [];
  return new Set(
    networks.filter((each) => driverOf(each) === driver).map((each) => String(each["Name"])),
  );
}

function namesIn(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((name) => typeof name === "string") : [];
}

/** As services ask for it: every node has one of its own, which the Engine answers for without the scope. */
function predefinedNetwork(call: ApiCall) {
  requireManager(call.context);
  const name = param(call, "id");
  if (!isPredefined(name)) throw new NotFoundError(`network ${name} not found`);
  return {
    Name: name,
    Id: name,
    Created: "0001-01-01T00:00:00Z",
    Scope: "swarm",
    Driver: name,
    EnableIPv6: false,
    IPAM: { Driver: "", Options: null, Config: [] },
    Internal: false,
    Attachable: false,
    Ingress: false,
    ConfigFrom: { Network: "" },
    ConfigOnly: false,
    Containers: null,
    Options: null,
    Labels: { "com.docker.swarm.predefined": "true" },
  };
}

/** A local network is the Engine's to make, by a name that none of the cluster's has; one that spans the cluster is ours. */
export async function postNetwork(call: ApiCall): Promise<Answer> {
  const body = await bodyOf(call);
  const given: unknown = parseJson(body.toString("utf8"));
  const request = decodeValue(networkCreateRequest, given);
  if (call.context.backend.networks().some(({ spec }) => spec.name === request.name))
    throw nameTaken(request.name);
  const isClusters = request.driver === "overlay" || request.scope === "swarm";
  if (!isClusters || request.configOnly) {
    if (request.ingress) throw new InvalidParameterError(INGRESS_IS_GLOBAL);
    const { engine } = call.context;
    await engine.forward(call.request, call.response, call.url, { body });
    return undefined;
  }
  const manager = requireManager(call.context);
  if (request.configFrom.network !== "") {
    throw new InvalidParameterError(
      "user specified configurations are not supported if the network depends on a configuration network",
    );
  }
  await checkLocalNames(call, request.name);
  validateNetwork(request);
  const { store } = manager;
  const { id, vni } = await store.update((tx) =>
    createNetwork(tx, request, manager.hostRoutes(), lastVNIs.get(store)),
  );
  if (vni > (lastVNIs.get(store) ?? 0)) lastVNIs.set(store, vni);
  return { status: 201, body: { Id: id, Warning: "" } };
}

/** The highest number that was given since this daemon's start; what ended before it has left no container behind. */
const lastVNIs = new WeakMap<Store, number>();

const INGRESS_IS_GLOBAL = "Ingress network can only be global scope network";

/** What the Engine has by the same name would stand in the way of the cluster's on this host. */
async function checkLocalNames(call: ApiCall, name: string): Promise<void> {
  if (name === "") return;
  const { engine } = call.context;
  const answer = await engine.get(`/networks/${encodeURIComponent(name)}`, call.signal);
  const local: unknown =
    answer.status === 200 ? parseJson(answer.body.toString("utf8")) : undefined;
  const isOther = isRecord(local) && local["Name"] === name && driverOf(local) !== WEFT_DRIVER;
  if (isOther) throw nameTaken(name);
}

async function passOn(call: ApiCall): Promise<Answer> {
  await call.context.engine.forward(call.request, call.response, call.url);
  return undefined;
}

/** The network that a path names: in full first, the Engine's own next, and only then by a prefix of its id. */
async function clusterNetwork(call: ApiCall): Promise<Network | undefined> {
  const { backend, engine } = call.context;
  const reference = param(call, "id");
  let network: Network;
  try {
    network = findNetworkAmong(backend.networks(), reference);
  } catch (error) {
    if (error instanceof NotFoundError) return undefined;
    throw error;
  }
  if ([network.id, network.spec.name].includes(reference)) return network;
  const local = await engine.get(`/networks/${encodeURIComponent(reference)}`, call.signal);
  return local.status === 404 ? network : undefined;
}

function isListed(snapshot: Snapshot | undefined, network: Network, filters: Filters): boolean {
  const { id, spec } = network;
  return (
    filters.some("id", (wanted) => id.includes(wanted)) &&
    filters.some("name", (wanted) => spec.name.includes(wanted)) &&
    filters.some("driver", (wanted) => wanted === spec.driver) &&
    filters.some("scope", (wanted) => wanted === "swarm") &&
    // Of the two types, "builtin" are the Engine's bridge, host and none.
    filters.some("type", (wanted) => wanted === "custom") &&
    filters.some(
      "dangling",
      (wanted) => ["1", "true"].includes(wanted) === isDangling(snapshot, network),
    ) &&
    filters.labels("label", spec.labels)
  );
}

/** A node that is no manager knows only those that it uses itself. */
function isDangling(snapshot: Snapshot | undefined, network: Network): boolean {
  if (network.spec.ingress || snapshot === undefined) return false;
  return userOf(snapshot, network) === undefined;
}

/** Until a manager has said what the cluster's networks are the Engine's stand for them, and are shown as Docker shows those. */
function disguise(network: unknown): unknown {
  if (driverOf(network) !== WEFT_DRIVER || !isRecord(network)) return network;
  return { ...network, Driver: "overlay", Scope: "swarm", Ingress: network["Name"] === "ingress" };
}

function driverOf(network: unknown): unknown {
  if (!isRecord(network))
    throw new SystemError("the Engine's list of networks has no networks in it");
  return network["Driver"];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
