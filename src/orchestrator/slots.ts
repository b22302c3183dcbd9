/** Slots: the places that a service's tasks follow one another in, a replica's number or a global task's node. */
import { assert } from "../base/assert.ts";
import { isTerminal, type Node, type Task } from "../cluster/objects.ts";
import { isOver, isWanted } from "../cluster/task-lifecycle.ts";
import type { Place } from "./service-context.ts";

export interface Slot {
  readonly place: Place;
  /** All that were ever made for it and are still remembered, the oldest first. */
  readonly tasks: readonly Task[];
  readonly wanted: readonly Task[];
}

/** In the order of replica numbers, or of node ids. Tasks that are to be removed are in no slot any more. */
export function slotsOf(tasks: readonly Task[]): readonly Slot[] {
  const byKey = new Map<string, Task[]>();
  for (const task of tasks) {
    if (task.desiredState === "remove") continue;
    const key = slotKeyOf(task);
    const list = byKey.get(key);
    if (list === undefined) byKey.set(key, [task]);
    else list.push(task);
  }
  const slots = [...byKey.values()].map((list) => {
    list.sort(byAge);
    return { place: placeOf(list), tasks: list, wanted: list.filter(isWanted) };
  });
  return slots.sort((a, b) => comparePlaces(a.place, b.place));
}

export function slotKeyOf(task: Task): string {
  return task.slot === undefined ? `node ${task.nodeID ?? ""}` : `slot ${task.slot}`;
}

/** The oldest first; of one moment's tasks, the one that is still wanted last. */
export function byAge(a: Task, b: Task): number {
  return (
    Date.parse(a.createdAt) - Date.parse(b.createdAt) || Number(isWanted(a)) - Number(isWanted(b))
  );
}

/** Whether it runs no more, or its node is away and cannot say: nobody has to wait for it. */
export function hasStopped(task: Task, nodes: ReadonlyMap<string, Node>): boolean {
  if (isOver(task)) return true;
  if (task.nodeID === undefined) return false;
  const node = nodes.get(task.nodeID);
  return node === undefined || node.status.state === "down";
}

/** Whether it ended by itself, while it was meant to run. */
export function hasEnded(task: Task): boolean {
  return isWanted(task) && isTerminal(task.status.state);
}

/** The tasks with what `change` answers for some of them in their stead. */
export function replaced(
  tasks: readonly Task[],
  change: (task: Task) => Task | readonly Task[],
): readonly Task[] {
  return tasks.flatMap((task) => change(task));
}

function placeOf([task]: readonly Task[]): Place {
  assert(task !== undefined, "a slot has a task");
  if (task.slot !== undefined) return { slot: task.slot };
  assert(task.nodeID !== undefined, `task ${task.id} has neither a slot nor a node`);
  return { nodeID: task.nodeID };
}

function comparePlaces(a: Place, b: Place): number {
  if ("slot" in a && "slot" in b) return a.slot - b.slot;
  if ("nodeID" in a && "nodeID" in b) return a.nodeID.localeCompare(b.nodeID);
  return "slot" in a ? -1 : 1;
}
