/** Replicated services: as many slots as the spec has replicas, wherever the scheduler puts them. */
import type { Task } from "../cluster/objects.ts";
import { isUsable } from "../cluster/task-lifecycle.ts";
import { mayStay } from "./constraint-enforcer.ts";
import { isSettled, type PlacementRules } from "./restart.ts";
import { newTask, type ServiceContext, type Step } from "./service-context.ts";
import { type Slot, slotsOf } from "./slots.ts";

/** A task leaves a node that is gone, down, drained or no longer fitting; another one takes its slot. */
export function replicatedRules({ nodes }: ServiceContext): PlacementRules {
  return {
    mustLeave: (task) => {
      if (task.nodeID === undefined) return false;
      const node = nodes.get(task.nodeID);
      return !isUsable(node) || !mayStay(task, node);
    },
    mayReplace: () => true,
  };
}

/** Adds the slots that are missing, or takes the surplus away. */
export const scaleStep: Step = (context, tasks) => {
  const replicas = context.service.spec.mode.replicated?.replicas ?? 0;
  const slots = slotsOf(tasks);
  const live = slots.filter((slot) => slot.wanted.length > 0 || isSettled(slot, context.service));
  const kept = live.length > replicas ? bestBalanced(live).slice(0, replicas) : live;
  const added = missingSlots(kept, replicas - kept.length).map((slot) =>
    newTask(context, { slot }, { desiredState: "running" }),
  );
  const refilled = new Set([...kept.map(numberOf), ...added.map(({ slot }) => slot)]);
  const removed = new Set(
    slots.filter((slot) => !refilled.has(numberOf(slot))).flatMap((slot) => slot.tasks),
  );
  if (removed.size === 0 && added.length === 0) return tasks;
  return [
    ...tasks.map((task): Task => (removed.has(task) ? { ...task, desiredState: "remove" } : task)),
    ...added,
  ];
};

/** The lowest numbers that no slot has. */
function missingSlots(slots: readonly Slot[], count: number): readonly number[] {
  const taken = new Set(slots.map(numberOf));
  const missing: number[] = [];
  for (let number = 1; missing.length < count; number++) {
    if (!taken.has(number)) missing.push(number);
  }
  return missing;
}

/**
 * In the order in which slots are kept: the running ones first, as whoever is served by them would otherwise wait for one that
 * has yet to start; of those each node's first one, then each node's second, so that what is left is balanced; what has
 * no node yet, or is being replaced, last.
 */
function bestBalanced(slots: readonly Slot[]): readonly Slot[] {
  const runningFirst = [...slots].sort((a, b) => Number(isRunning(b)) - Number(isRunning(a)));
  const perNode = new Map<string, number>();
  const ranked = runningFirst.map((slot) => {
    const nodeID = slot.wanted.length === 1 ? slot.wanted[0]?.nodeID : undefined;
    const rank = nodeID === undefined ? LAST : (perNode.get(nodeID) ?? 0) + 1;
    if (nodeID !== undefined) perNode.set(nodeID, rank);
    return { slot, rank: rank + (isRunning(slot) ? 0 : LAST) };
  });
  return ranked.sort((a, b) => a.rank - b.rank).map(({ slot }) => slot);
}

/** More than any node has of one service. */
const LAST = 1_000_000;

function isRunning({ wanted }: Slot): boolean {
  return wanted.some(({ status }) => status.state === "running");
}

function numberOf({ place }: Slot): number | undefined {
  return "slot" in place ? place.slot : undefined;
}
