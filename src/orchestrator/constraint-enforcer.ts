/**
 * Whether a task may stay where it was placed, after its node has changed. One that may not is moved as
 * from a drained node: stopped by its desired state, so that its address and ports stay its own until
 * the container is gone.
 */
import { meetsExpressions } from "../cluster/constraints.ts";
import type { Node, Task } from "../cluster/objects.ts";

export function mayStay(task: Task, node: Node): boolean {
  // A paused node keeps what it has; and of a node that has not yet said what it is, nothing is known.
  if (node.spec.availability !== "active" || node.description === undefined) return true;
  if (!meetsExpressions(task.spec.placement?.constraints, node)) return false;
  const { nanoCPUs = 0, memoryBytes = 0 } = task.spec.resources?.reservations ?? {};
  const total = node.description.resources;
  return nanoCPUs <= (total.nanoCPUs ?? 0) && memoryBytes <= (total.memoryBytes ?? 0);
}
