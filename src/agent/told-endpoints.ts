/** Endpoints as managers have told them, by node, as the gossip looks at them. Pure. */
import { addressBytes } from "../base/ip-address.ts";
import { overlayEndpoints } from "../datapath/overlay/view.ts";
import type { MeshConfig, ToldEndpoint } from "../dispatcher/assignment.ts";
import type { EndpointPlace, SaidEndpoint } from "../gossip/endpoint-news.ts";

/** Of one node. */
export interface NodeEndpoints {
  readonly endpoints: readonly ToldEndpoint[];
  /** Tasks that are in overlay networks alone, and run. */
  readonly inner: readonly string[];
  /** All tasks, those that start too. */
  readonly taskIDs: ReadonlySet<string>;
}

/** Where managers know that a task is going to be. */
export interface StartingTask {
  readonly nodeIndex: number;
  readonly places: readonly EndpointPlace[];
}

/** Each half is made when it is asked for: most changes of a large mesh concern nobody who is dead, or starts. */
export class ToldEndpoints {
  readonly #mesh: MeshConfig;
  #byNode: ReadonlyMap<number, NodeEndpoints> | undefined;
  #starting: ReadonlyMap<string, StartingTask> | undefined;

  constructor(mesh: MeshConfig) {
    this.#mesh = mesh;
  }

  /** By task. */
  get starting(): ReadonlyMap<string, StartingTask> {
    this.#starting ??= startingIn(this.#mesh);
    return this.#starting;
  }

  ofNode(index: number): NodeEndpoints | undefined {
    this.#byNode ??= endpointsByNode(this.#mesh);
    return this.#byNode.get(index);
  }
}

/** Whether a node's word is about the endpoint that managers have put there, at the addresses that they gave it. */
export function isAsTold(said: SaidEndpoint, nodeIndex: number, told: StartingTask): boolean {
  if (told.nodeIndex !== nodeIndex) return false;
  return told.places.every(({ vni, address }) =>
    said.places.some((place) => place.vni === vni && isSameHost(place.address, address)),
  );
}

function isSameHost(a: string, b: string): boolean {
  const [bytes, others] = [addressBytes(a), addressBytes(b)];
  return bytes !== undefined && others !== undefined && bytes.equals(others);
}

/** One by one, as there may be a hundred thousand and only some of them start. */
function startingIn({
  services,
  networks,
  network,
}: MeshConfig): ReadonlyMap<string, StartingTask> {
  const found = new Map<string, { nodeIndex: number; places: EndpointPlace[] }>();
  const note = (taskID: string, nodeIndex: number, place: EndpointPlace) => {
    const known = found.get(taskID) ?? { nodeIndex, places: [] };
    known.places.push(place);
    found.set(taskID, known);
  };
  for (const { endpoints } of services) {
    for (const { taskID, nodeIndex, state, address } of endpoints) {
      if (state === "starting") note(taskID, nodeIndex, { vni: network?.vni ?? 0, address });
    }
  }
  for (const overlay of networks) {
    for (const { taskID, nodeIndex, state, addresses } of overlayEndpoints(overlay)) {
      const place = { vni: overlay.vni, address: addresses[0] ?? "" };
      if (state === "starting") note(taskID, nodeIndex, place);
    }
  }
  return found;
}

function endpointsByNode({ services, networks }: MeshConfig): ReadonlyMap<number, NodeEndpoints> {
  type Draft = { endpoints: ToldEndpoint[]; inner: string[]; taskIDs: Set<string> };
  const byNode = new Map<number, Draft>();
  const of = (index: number) => {
    const known = byNode.get(index) ?? { endpoints: [], inner: [], taskIDs: new Set<string>() };
    byNode.set(index, known);
    return known;
  };
  for (const { endpoints } of services) {
    for (const endpoint of endpoints) {
      const node = of(endpoint.nodeIndex);
      node.endpoints.push(endpoint);
      node.taskIDs.add(endpoint.taskID);
    }
  }
  // After the published ones: who is published is asked there.
  for (const { taskID, nodeIndex, state } of networks.flatMap(overlayEndpoints)) {
    const node = of(nodeIndex);
    if (!node.taskIDs.has(taskID) && state !== "starting") node.inner.push(taskID);
    node.taskIDs.add(taskID);
  }
  return byNode;
}
