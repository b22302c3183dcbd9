/** What a task is called on its node. */
import type { Task } from "../cluster/objects.ts";

/** As Docker names it: `web.1.<task>`, or with the node's id for a task of a global service. */
export function taskName(task: Task): string {
  const slot = task.slot === undefined ? (task.nodeID ?? "") : String(task.slot);
  return `${task.serviceAnnotations.name}.${slot}.${task.id}`;
}
