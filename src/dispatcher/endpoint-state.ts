/** Whether new connections are led to a task: alike for published ports and for overlay networks. Pure. */
import type { AttachmentID, TaskID } from "../base/ids.ts";
import { isTaskStateAtLeast, type Node, type Task } from "../cluster/objects.ts";
import { isOver } from "../cluster/task-lifecycle.ts";

/** What is known of endpoints on nodes whose daemon cannot be reached, from asking the endpoints themselves. */
export interface EndpointEvidence {
  /** They did not answer. */
  readonly lost: ReadonlySet<TaskID>;
  /** They answered: their host lives, and the connections they have may go on. */
  readonly answering: ReadonlySet<TaskID>;
}

/**
 * A node in doubt (its manager has just started, or only its daemon is silent) still serves: a daemon's
 * restart must not be seen by any client. A node that is down gives its endpoints up; what is connected
 * to them is forgotten too, unless they themselves answer.
 */
export function endpointState(
  task: Task,
  node: Node,
  evidence: EndpointEvidence,
): "live" | "draining" | undefined {
  if (evidence.lost.has(task.id)) return undefined;
  if (node.status.state === "down") {
    return evidence.answering.has(task.id) ? "draining" : undefined;
  }
  if (task.status.unhealthy === true) return "draining";
  return isTaskStateAtLeast(task.desiredState, "complete") ? "draining" : "live";
}

/** A user's container in an overlay network has a place, not a task: as an endpoint it goes by the place. */
export function asEndpoint(attachmentID: AttachmentID): TaskID {
  return attachmentID as string as TaskID;
}

/**
 * The same of a task that may not run yet: starting from when a node has it, so that all nodes know where it is going
 * to be, and take it into their mesh on that node's word. One that starts and must stop is draining like one that
 * runs: the word that it is ready may be everywhere but here.
 */
export function startingOrState(
  task: Task,
  node: Node,
  evidence: EndpointEvidence,
): "starting" | "live" | "draining" | undefined {
  if (isOver(task) || !isTaskStateAtLeast(task.status.state, "assigned")) return undefined;
  const state = endpointState(task, node, evidence);
  return state === "live" && task.status.state !== "running" ? "starting" : state;
}
