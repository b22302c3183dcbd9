/** Global services: one task on every node that is up, not drained, and meets the constraints. */
import { meetsExpressions } from "../cluster/constraints.ts";
import type { Node, Task } from "../cluster/objects.ts";
import { isUsable } from "../cluster/task-lifecycle.ts";
import { isSettled, type PlacementRules } from "./restart.ts";
import { newTask, type ServiceContext, type Step } from "./service-context.ts";
import { slotsOf } from "./slots.ts";

/** A task leaves with its node, and nothing takes its place elsewhere; on a paused node nothing is begun. */
export function globalRules(context: ServiceContext): PlacementRules {
  const nodeOf = (task: Task) => context.nodes.get(task.nodeID ?? "");
  return {
    mustLeave: (task) => !isEligible(context, nodeOf(task)),
    mayReplace: (task) => isOpen(context, nodeOf(task)),
  };
}

/** Begins on each node that has no task yet. */
export const coverStep: Step = (context, tasks) => {
  const covered = new Set(
    slotsOf(tasks)
      .filter((slot) => slot.wanted.length > 0 || isSettled(slot, context.service))
      .map(({ place }) => ("nodeID" in place ? place.nodeID : undefined)),
  );
  const added = [...context.nodes.values()]
    .filter((node) => isOpen(context, node) && !covered.has(node.id))
    .map(({ id }) => newTask(context, { nodeID: id }, { desiredState: "running" }));
  return added.length === 0 ? tasks : [...tasks, ...added];
};

/** Whether the updater may touch what is on the node. */
export function isOpen(context: ServiceContext, node: Node | undefined): boolean {
  return isEligible(context, node) && node?.spec.availability !== "pause";
}

function isEligible({ service }: ServiceContext, node: Node | undefined): boolean {
  const expressions = service.spec.taskTemplate.placement?.constraints;
  return isUsable(node) && meetsExpressions(expressions, node);
}
