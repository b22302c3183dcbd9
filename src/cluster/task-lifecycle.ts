/** Questions that every loop asks of a task. */
import { isTaskStateAtLeast, isTerminal, type Node, type Task } from "./objects.ts";

/** Whether the orchestrator still wants it to run, now or after a delay. */
export function isWanted(task: Task): boolean {
  return !isTaskStateAtLeast(task.desiredState, "complete");
}

/** Whether it has ended, or will never begin: no node was ever told of it, and nobody wants it any more. */
export function isOver(task: Task): boolean {
  if (isTerminal(task.status.state)) return true;
  return !isWanted(task) && !isTaskStateAtLeast(task.status.state, "assigned");
}

/** Whether a node takes part in running tasks: a down or drained one has to be without. */
export function isUsable(node: Node | undefined): node is Node {
  return node !== undefined && node.status.state !== "down" && node.spec.availability !== "drain";
}
