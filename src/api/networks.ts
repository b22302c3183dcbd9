/**
 * `/networks`: the local Engine's own and the cluster's in one listing. The Engine has a local network of
 * driver `weft` behind each of the cluster's that has tasks here; it is shown as the cluster's, never beside it.
 */
import { NotFoundError, NotImplementedError, SystemError } from "../base/errors.ts";
import { findNetwork } from "../cluster/finders.ts";
import type { Network } from "../cluster/objects.ts";
import { isPredefined } from "../cluster/predefined-networks.ts";
import { type Answer, type ApiCall, bodyOf, param } from "./call.ts";
import { rpcError } from "./errors.ts";
import { Filters, readFilters } from "./filters.ts";
import { requireManager } from "./manager.ts";
import { parseJson } from "./wire/json.ts";
import { encodeNetwork } from "./wire/network.ts";

/** The Engine's name for the network driver that Weft's keeper is. */
const WEFT_DRIVER = "weft";

export async function listNetworks(call: ApiCall): Promise<Answer> {
  const answer = await call.context.engine.get(call.url, call.signal);
  const local: unknown = parseJson(answer.body.toString("utf8"));
  if (answer.status !== 200 || !Array.isArray(local)) return { status: answer.status, body: local };
  const filters = new Filters(readFilters(call.query));
  const store = call.context.backend.manager()?.store;
  const cluster = (store?.view().list("network") ?? []).filter((each) => isListed(each, filters));
  const own = local.filter((network) => store === undefined || driverOf(network) !== WEFT_DRIVER);
  return { status: 200, body: [...cluster.map(encodeNetwork), ...own.map(disguise)] };
}

/** The cluster's own by id, name or prefix; any other is the Engine's to answer. */
export async function inspectNetwork(call: ApiCall): Promise<Answer> {
  const scope = call.query.get("scope") ?? "";
  const network = scope === "local" ? undefined : await clusterNetwork(call);
  if (network !== undefined) return { status: 200, body: encodeNetwork(network) };
  if (scope === "swarm") return { status: 200, body: predefinedNetwork(call) };
  return passOn(call);
}

export async function deleteNetwork(call: ApiCall): Promise<Answer> {
  const network = await clusterNetwork(call);
  if (network === undefined) return passOn(call);
  const services = call.context.backend.manager()?.store.view().list("service") ?? [];
  const user = services.find((service) =>
    service.spec.endpointSpec?.ports.some((port) => port.publishMode === "ingress"),
  );
  if (user !== undefined) {
    throw rpcError(
      "FailedPrecondition",
      `ingress network cannot be removed because service ${user.id} depends on it`,
    );
  }
  throw new NotImplementedError(
    `network ${network.spec.name} cannot be removed: Weft reaches published ports through it`,
  );
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

/** A local network is the Engine's to make; one that spans the cluster is refused. */
export async function postNetwork(call: ApiCall): Promise<Answer> {
  const body = await bodyOf(call);
  const request: unknown = parseJson(body.toString("utf8"));
  if (isForCluster(request)) {
    throw new NotImplementedError(
      "overlay networks are not supported by Weft: services are reached through their published ports",
    );
  }
  const { engine } = call.context;
  await engine.forward(call.request, call.response, call.url, { body });
  return undefined;
}

async function passOn(call: ApiCall): Promise<Answer> {
  await call.context.engine.forward(call.request, call.response, call.url);
  return undefined;
}

/** The network that a path names: in full first, the Engine's own next, and only then by a prefix of its id. */
async function clusterNetwork(call: ApiCall): Promise<Network | undefined> {
  const { backend, engine } = call.context;
  const snapshot = backend.manager()?.store.view();
  const reference = param(call, "id");
  let network: Network;
  try {
    if (snapshot === undefined) return undefined;
    network = findNetwork(snapshot, reference);
  } catch (error) {
    if (error instanceof NotFoundError) return undefined;
    throw error;
  }
  if ([network.id, network.spec.name].includes(reference)) return network;
  const local = await engine.get(`/networks/${encodeURIComponent(reference)}`, call.signal);
  return local.status === 404 ? network : undefined;
}

function isListed({ id, spec }: Network, filters: Filters): boolean {
  return (
    filters.some("id", (wanted) => id.includes(wanted)) &&
    filters.some("name", (wanted) => spec.name.includes(wanted)) &&
    filters.some("driver", (wanted) => wanted === spec.driver) &&
    filters.some("scope", (wanted) => wanted === "swarm") &&
    // Of the two types, "builtin" are the Engine's bridge, host and none.
    filters.some("type", (wanted) => wanted === "custom") &&
    filters.some("dangling", (wanted) => !["1", "true"].includes(wanted)) &&
    filters.labels("label", spec.labels)
  );
}

/** On a node that is no manager the Engine's network stands for the cluster's, and is shown as Docker shows that. */
function disguise(network: unknown): unknown {
  if (driverOf(network) !== WEFT_DRIVER || !isRecord(network)) return network;
  return { ...network, Driver: "overlay", Scope: "swarm", Ingress: network["Name"] === "ingress" };
}

function isForCluster(request: unknown): boolean {
  if (!isRecord(request)) return false;
  const given = new Map(
    Object.entries(request).map(([key, value]) => [key.toLowerCase(), value] as const),
  );
  return (
    given.get("driver") === "overlay" ||
    given.get("scope") === "swarm" ||
    given.get("ingress") === true
  );
}

function driverOf(network: unknown): unknown {
  if (!isRecord(network))
    throw new SystemError("the Engine's list of networks has no networks in it");
  return network["Driver"];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
