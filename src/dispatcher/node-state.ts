/** Writes what the dispatcher knows of a node: its state, where it is, what it says it is. */
import type { Node, NodeDescription, NodeState, NodeStatus } from "../cluster/objects.ts";
import type { Store } from "../cluster/store.ts";

/** Docker's words for members that were there before this manager (swarmkit dispatcher.go). */
const UNKNOWN_MESSAGE = 'Node moved to "unknown" state due to leadership change in cluster';

/** Of a node that said goodbye: it is listed until somebody removes it, and comes back as another. */
export const LEFT_MESSAGE = "the node left the swarm";

export function hasLeft({ status }: Node): boolean {
  return status.state === "down" && status.message === LEFT_MESSAGE;
}

/** Where a node is, by its own words. */
export type NodePlace = Pick<NodeStatus, "addr" | "dataPathAddr">;

export async function setNodeState(
  store: Store,
  nodeID: string,
  state: NodeState,
  message: string,
): Promise<void> {
  await store.update((tx) => {
    const node = tx.get("node", nodeID);
    if (node !== undefined) tx.put("node", { ...node, status: statusOf(node, state, message) });
  });
}

/** What a node says of itself. */
export interface NodeWords {
  readonly place?: NodePlace;
  readonly description?: NodeDescription;
}

/** The node was heard of: it is ready, unless it says itself that it can run nothing. */
export async function setNodeHeard(
  store: Store,
  nodeID: string,
  { place, description }: NodeWords = {},
): Promise<void> {
  await store.update((tx) => {
    const node = tx.get("node", nodeID);
    if (node === undefined) return;
    const described = description === undefined ? node : { ...node, description };
    tx.put("node", { ...described, status: heardStatus(described, place) });
  });
}

/** The status of a node that was just heard of. */
export function heardStatus(node: Node, place?: NodePlace): NodeStatus {
  const problem = node.description?.runtimeProblem;
  return statusOf(node, problem === undefined ? "ready" : "down", problem, place);
}

/** A manager that has just started does not know who is there; those that were down stay so until they come. */
export async function doubtAllNodes(store: Store): Promise<void> {
  await store.update((tx) => {
    for (const node of tx.list("node")) {
      if (node.status.state === "down") continue;
      tx.put("node", { ...node, status: statusOf(node, "unknown", UNKNOWN_MESSAGE) });
    }
  });
}

function statusOf(
  node: Node,
  state: NodeState,
  message?: string,
  { addr, dataPathAddr }: NodePlace = node.status,
): NodeStatus {
  return {
    ...{ state, addr },
    ...(dataPathAddr === undefined ? {} : { dataPathAddr }),
    ...(message === undefined ? {} : { message }),
  };
}
