/**
 * Users' overlay networks as the store has them, each with its services' part in it. Pure and incremental: a
 * change of one service costs that service's part in its own networks, however many networks there are.
 */
import { isDeepStrictEqual } from "node:util";
import { serviceNetworks } from "../cluster/finders.ts";
import { taskName } from "../cluster/names.ts";
import { isTaskStateAtLeast, type Network, type Service, type Task } from "../cluster/objects.ts";
import type { Snapshot } from "../cluster/store.ts";
import { isOver } from "../cluster/task-lifecycle.ts";
import type { OverlayEndpoint, OverlayNetwork, OverlayService } from "../datapath/overlay/view.ts";
import { asEndpoint, type EndpointEvidence, startingOrState } from "./endpoint-state.ts";
import { diffKeyed, isEmptyDelta, type KeyedDelta } from "./keyed-delta.ts";

/** What of a network is not its members. */
export type OverlayHead = Omit<OverlayNetwork, "services" | "containers">;

/** An OverlayNetwork with keys, never changed in place. */
export interface OverlayTable {
  readonly head: OverlayHead;
  readonly services: ReadonlyMap<string, OverlayService>;
  /** By task id. */
  readonly containers: ReadonlyMap<string, OverlayEndpoint>;
}

/** By network id. */
export type OverlayTables = ReadonlyMap<string, OverlayTable>;

/** All overlay networks, and which of them each service is part of. */
export interface Overlays {
  readonly tables: OverlayTables;
  readonly networksOf: ReadonlyMap<string, ReadonlySet<string>>;
}

export const NO_OVERLAYS: Overlays = { tables: new Map(), networksOf: new Map() };

/** What may have changed since the tables were made. */
export interface OverlayDirt {
  readonly networkIDs: Iterable<string>;
  readonly serviceIDs: Iterable<string>;
}

/** The tables for this snapshot; `before` itself when nothing in them changed. */
export function updateOverlays(
  before: Overlays,
  snapshot: Snapshot,
  evidence: EndpointEvidence,
  dirt: OverlayDirt,
): Overlays {
  const draft = new Draft(before);
  for (const id of dirt.networkIDs) {
    draft.setHead(id, headOf(snapshot.get("network", id)));
    draft.setContainers(id, containersOf(snapshot, id, evidence));
  }
  for (const id of dirt.serviceIDs) draft.setService(id, partsOfService(snapshot, id, evidence));
  return draft.overlays;
}

/** A subset as it is told to a node; of a table that did not change the very same network as before. */
export function overlayNetworksOf(tables: OverlayTables): readonly OverlayNetwork[] {
  return Array.from(tables.values(), (table) => {
    const known = madeNetworks.get(table) ?? networkOf(table);
    madeNetworks.set(table, known);
    return known;
  });
}

const madeNetworks = new WeakMap<OverlayTable, OverlayNetwork>();

function networkOf({ head, services, containers }: OverlayTable): OverlayNetwork {
  return { ...head, services: [...services.values()], containers: [...containers.values()] };
}

/** Overlay networks that a node takes part in: those of its tasks, from assigned until they have ended, and of attached containers. */
export function overlaysOfNode(snapshot: Snapshot, nodeID: string): ReadonlySet<string> {
  const networks = new Set<string>();
  for (const task of snapshot.tasksOfNode(nodeID)) {
    if (!isTaskStateAtLeast(task.status.state, "assigned") || isOver(task)) continue;
    for (const { network } of task.networksAttachments) networks.add(network.id);
  }
  for (const attachment of snapshot.list("attachment")) {
    if (attachment.nodeID === nodeID) networks.add(attachment.networkID);
  }
  return networks;
}

/** What a node that takes part in these shows to its users: the ingress network besides, which every node is in. */
export function networksShownTo(snapshot: Snapshot, ids: ReadonlySet<string>): readonly Network[] {
  return snapshot.list("network").filter(({ id, spec }) => spec.ingress || ids.has(id));
}

/** What changed in one network. */
export interface OverlayDelta {
  readonly networkID: string;
  /** What was known of the network is forgotten first. */
  readonly complete: boolean;
  readonly removed: boolean;
  readonly head?: OverlayHead;
  readonly services: KeyedDelta<OverlayService>;
  readonly containers: KeyedDelta<OverlayEndpoint>;
}

/** What a node that was told `before` of one network must be told to have `after`; undefined when they agree. */
export function diffOverlay(
  networkID: string,
  before: OverlayTable | undefined,
  after: OverlayTable | undefined,
): OverlayDelta | undefined {
  if (before === after) return undefined;
  const delta = {
    networkID,
    complete: before === undefined,
    removed: after === undefined,
    ...(after === undefined || isDeepStrictEqual(before?.head, after.head)
      ? {}
      : { head: after.head }),
    services: after === undefined ? NOTHING : diffKeyed(before?.services ?? NONE, after.services),
    containers:
      after === undefined ? NOTHING : diffKeyed(before?.containers ?? NONE, after.containers),
  };
  const isEmpty =
    !delta.complete &&
    !delta.removed &&
    delta.head === undefined &&
    isEmptyDelta(delta.services) &&
    isEmptyDelta(delta.containers);
  return isEmpty ? undefined : delta;
}

const NONE: ReadonlyMap<string, never> = new Map<string, never>();
const NOTHING = { put: [], remove: [] } as const;

/** Copies on the first write, of the whole and of each network that is written to. */
class Draft {
  readonly #before: Overlays;
  #tables: Map<string, OverlayTable> | undefined;
  #networksOf: Map<string, ReadonlySet<string>> | undefined;

  constructor(before: Overlays) {
    this.#before = before;
  }

  get overlays(): Overlays {
    if (this.#tables === undefined && this.#networksOf === undefined) return this.#before;
    return {
      tables: this.#tables ?? this.#before.tables,
      networksOf: this.#networksOf ?? this.#before.networksOf,
    };
  }

  setHead(networkID: string, head: OverlayHead | undefined): void {
    const old = this.#table(networkID);
    if (isDeepStrictEqual(old?.head, head)) return;
    this.#tables ??= new Map(this.#before.tables);
    if (head === undefined) this.#tables.delete(networkID);
    else
      this.#tables.set(networkID, {
        services: new Map(),
        containers: new Map(),
        ...old,
        head,
      });
  }

  /** `parts`: by network id. */
  setService(serviceID: string, parts: ReadonlyMap<string, OverlayService>): void {
    const old = (this.#networksOf ?? this.#before.networksOf).get(serviceID) ?? new Set<string>();
    for (const networkID of new Set([...old, ...parts.keys()])) {
      this.#setPart(networkID, serviceID, parts.get(networkID));
    }
    const now = new Set(parts.keys());
    if (isDeepStrictEqual(old, now)) return;
    this.#networksOf ??= new Map(this.#before.networksOf);
    if (now.size === 0) this.#networksOf.delete(serviceID);
    else this.#networksOf.set(serviceID, now);
  }

  setContainers(networkID: string, containers: OverlayTable["containers"]): void {
    const table = this.#table(networkID);
    if (table === undefined || isDeepStrictEqual(table.containers, containers)) return;
    this.#tables ??= new Map(this.#before.tables);
    this.#tables.set(networkID, { ...table, containers });
  }

  #setPart(networkID: string, serviceID: string, part: OverlayService | undefined): void {
    const table = this.#table(networkID);
    if (table === undefined || isDeepStrictEqual(table.services.get(serviceID), part)) return;
    const services = new Map(table.services);
    if (part === undefined) services.delete(serviceID);
    else services.set(serviceID, part);
    this.#tables ??= new Map(this.#before.tables);
    this.#tables.set(networkID, { ...table, services });
  }

  #table(networkID: string): OverlayTable | undefined {
    return (this.#tables ?? this.#before.tables).get(networkID);
  }
}

function headOf(network: Network | undefined): OverlayHead | undefined {
  if (network === undefined || network.spec.ingress) return undefined;
  const { id, spec, ipam, vni } = network;
  const mtu = mtuOf(network);
  return {
    networkID: id,
    name: spec.name,
    vni,
    subnets: ipam.config.map(({ subnet }) => subnet),
    internal: spec.internal,
    ...(mtu === undefined ? {} : { mtu }),
  };
}

/** By network id. Of a service that is gone, or left the network, the endpoints stay until they have ended. */
function partsOfService(
  snapshot: Snapshot,
  serviceID: string,
  evidence: EndpointEvidence,
): ReadonlyMap<string, OverlayService> {
  const service = snapshot.get("service", serviceID);
  const tasks = snapshot.tasksOfService(serviceID);
  const parts = new Map<string, OverlayService & { endpoints: OverlayEndpoint[] }>();
  const part = (networkID: string) => {
    const known = parts.get(networkID) ?? {
      serviceID,
      serviceName: service?.spec.name ?? tasks[0]?.serviceAnnotations.name ?? serviceID,
      aliases: [],
      virtualIPs: virtualIPsOf(service, networkID),
      endpoints: [],
    };
    parts.set(networkID, known);
    return known;
  };
  const wanted = service === undefined ? [] : serviceNetworks(snapshot, service.spec);
  for (const { network, config } of wanted) {
    if (!isOverlay(network)) continue;
    parts.set(network.id, { ...part(network.id), aliases: config.aliases ?? [] });
  }
  for (const task of [...tasks].sort((a, b) => (a.id < b.id ? -1 : 1))) {
    for (const { network, addresses } of task.networksAttachments) {
      if (!isOverlay(snapshot.get("network", network.id))) continue;
      const endpoint = endpointOf(snapshot, task, addresses, evidence);
      if (endpoint !== undefined) part(network.id).endpoints.push(endpoint);
    }
  }
  return parts;
}

function endpointOf(
  snapshot: Snapshot,
  task: Task,
  addresses: readonly string[],
  evidence: EndpointEvidence,
): OverlayEndpoint | undefined {
  const { nodeID, status } = task;
  const node = nodeID === undefined ? undefined : snapshot.get("node", nodeID);
  if (node?.index === undefined) return undefined;
  const state = startingOrState(task, node, evidence);
  if (state === undefined) return undefined;
  const containerID = status.containerStatus?.containerID;
  return {
    taskID: task.id,
    taskName: taskName(task),
    // What a container is called by itself when nobody gave it a hostname.
    aliases: containerID === undefined ? [] : [containerID.slice(0, 12)],
    addresses: addresses.map(withoutPrefixLength),
    nodeIndex: node.index,
    state,
  };
}

/**
 * By attachment. Whether such a container runs nobody says: its node knows. Nothing takes its place elsewhere, so it is
 * there for as long as its host answers.
 */
function containersOf(
  snapshot: Snapshot,
  networkID: string,
  evidence: EndpointEvidence,
): ReadonlyMap<string, OverlayEndpoint> {
  const containers = new Map<string, OverlayEndpoint>();
  for (const attachment of snapshot.list("attachment")) {
    const { id, nodeID, containerName, aliases, addresses } = attachment;
    const node = snapshot.get("node", nodeID);
    if (attachment.networkID !== networkID || addresses.length === 0) continue;
    const endpoint = asEndpoint(id);
    const isAway = node?.status.state === "down" && !evidence.answering.has(endpoint);
    if (node?.index === undefined || isAway || evidence.lost.has(endpoint)) continue;
    containers.set(id, {
      taskID: id,
      taskName: containerName,
      aliases,
      addresses: addresses.map(withoutPrefixLength),
      nodeIndex: node.index,
      state: "live",
    });
  }
  return containers;
}

function virtualIPsOf(service: Service | undefined, networkID: string): readonly string[] {
  return (service?.endpoint?.virtualIPs ?? [])
    .filter((virtualIP) => virtualIP.networkID === networkID)
    .map(({ addr }) => withoutPrefixLength(addr));
}

function isOverlay(network: Network | undefined): boolean {
  return network !== undefined && !network.spec.ingress;
}

/** As `--opt com.docker.network.driver.mtu` names it. */
export function mtuOf({ spec }: Network): number | undefined {
  const mtu = Number(spec.driverOptions["com.docker.network.driver.mtu"]);
  return Number.isSafeInteger(mtu) && mtu > 0 ? mtu : undefined;
}

function withoutPrefixLength(address: string): string {
  return address.split("/")[0] ?? address;
}
