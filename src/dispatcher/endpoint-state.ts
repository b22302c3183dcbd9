/** Whether new connections are led to a running task: alike for published ports and for overlay networks. Pure. */
import type { AttachmentID, TaskID } from "../base/ids.ts";
import { isTaskStateAtLeast, type Node, type Task } from "../cluster/objects.ts";

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
