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

export interface NodeStateMore {
  readonly message?: string;
  readonly place?: NodePlace;
  readonly description?: NodeDescription;
}

export async function setNodeState(
  store: Store,
  nodeID: string,
  state: NodeState,
  more: NodeStateMore = {},
): Promise<void> {
  const { message, place, description } = more;
  await store.update((tx) => {
    const node = tx.get("node", nodeID);
    if (node === undefined) return;
    const status = statusOf(node, state, message, place);
    tx.put("node", { ...node, status, ...(description === undefined ? {} : { description }) });
  });
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
