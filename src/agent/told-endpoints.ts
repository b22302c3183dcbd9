/** Endpoints as managers have told them, by node, as the gossip looks at them. Pure. */
import type { MeshConfig, ToldEndpoint } from "../dispatcher/assignment.ts";
import { addressBytes } from "../gossip/address.ts";
import type { EndpointPlace, SaidEndpoint } from "../gossip/endpoint-news.ts";
import { overlayEndpoints } from "./corrected-mesh.ts";

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

export interface ToldEndpoints {
  readonly byNode: ReadonlyMap<number, NodeEndpoints>;
  readonly starting: ReadonlyMap<string, StartingTask>;
}

export function toldEndpoints(mesh: MeshConfig): ToldEndpoints {
  const draft = new Draft();
  const ingress = mesh.network?.vni ?? 0;
  for (const endpoint of mesh.services.flatMap(({ endpoints }) => endpoints)) {
    const node = draft.node(endpoint.nodeIndex);
    node.endpoints.push(endpoint);
    node.taskIDs.add(endpoint.taskID);
    const { state, address } = endpoint;
    if (state === "starting") draft.starts(endpoint, { vni: ingress, address });
  }
  // Ingress first, so that who is published is asked there.
  const published = new Set([...draft.byNode.values()].flatMap(({ taskIDs }) => [...taskIDs]));
  for (const network of mesh.networks) {
    for (const endpoint of overlayEndpoints(network)) {
      const { taskID, nodeIndex, state, addresses } = endpoint;
      const node = draft.node(nodeIndex);
      const isKnown = published.has(taskID) || node.taskIDs.has(taskID);
      node.taskIDs.add(taskID);
      const place = { vni: network.vni, address: addresses[0] ?? "" };
      if (state === "starting") draft.starts(endpoint, place);
      else if (!isKnown) node.inner.push(taskID);
    }
  }
  return draft;
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

class Draft implements ToldEndpoints {
  readonly byNode = new Map<
    number,
    { endpoints: ToldEndpoint[]; inner: string[]; taskIDs: Set<string> }
  >();
  readonly starting = new Map<string, { nodeIndex: number; places: EndpointPlace[] }>();

  node(index: number) {
    const known = this.byNode.get(index) ?? { endpoints: [], inner: [], taskIDs: new Set() };
    this.byNode.set(index, known);
    return known;
  }

  starts(
    { taskID, nodeIndex }: { readonly taskID: string; readonly nodeIndex: number },
    place: EndpointPlace,
  ): void {
    const known = this.starting.get(taskID) ?? { nodeIndex, places: [] };
    known.places.push(place);
    this.starting.set(taskID, known);
  }
}
