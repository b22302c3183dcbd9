/**
 * Tasks that ended, or whose node may not have them any more, give way to new ones in the same slot. A
 * restart waits at desired state READY until its delay is over and its predecessor has stopped.
 */
import { unreachable } from "../base/assert.ts";
import { millisecondsOf } from "../base/duration.ts";
import type { RestartPolicy, Service, Task } from "../cluster/objects.ts";
import { isTaskDirty } from "../cluster/task-dirty.ts";
import { isWanted } from "../cluster/task-lifecycle.ts";
import { handoverOf } from "./handover.ts";
import { newTask, type ServiceContext, type Step } from "./service-context.ts";
import { hasEnded, hasStopped, replaced, type Slot, slotKeyOf, slotsOf } from "./slots.ts";

const RESTART_DELAY_MS = 5_000;
/** A replacement waits this long, and the predecessor's own grace period, for it to stop; then it starts anyway. */
const STOP_TIMEOUT_MS = 60_000;
const STOP_GRACE_PERIOD_MS = 10_000;

/** Where a service's tasks may be, by its mode. */
export interface PlacementRules {
  /** Whether the task has to leave the node that it is on. */
  readonly mustLeave: (task: Task) => boolean;
  /** Whether its slot goes on without it. */
  readonly mayReplace: (task: Task) => boolean;
}

/** Whether the policy wants another task after this one has ended. */
export function shouldRestart(task: Task): boolean {
  const { condition, maxAttempts, window } = policyOf(task);
  if (condition === "none") return false;
  if (condition === "on-failure" && task.status.state === "complete") return false;
  if (!maxAttempts) return true;
  const restarts = task.orchestration?.restarts ?? [];
  if (!window) return restarts.length < maxAttempts;
  // Counted back from the end of this task, and not from now: a slot that was given up stays given up.
  const since = Date.parse(task.updatedAt) - millisecondsOf(window);
  return restarts.filter((time) => Date.parse(time) > since).length < maxAttempts;
}

/** Whether the slot has come to its end by its policy: nothing runs, and nothing is to follow. */
export function isSettled({ tasks, wanted }: Slot, service: Service): boolean {
  const last = tasks.at(-1);
  if (wanted.length > 0 || last === undefined) return false;
  // A rollback always leads to a running service.
  return !shouldRestart(last) && service.updateStatus?.state !== "rollback_started";
}

/** Shuts down what ended or has to leave, and makes what is to follow. */
export function restartStep(
  context: ServiceContext,
  tasks: readonly Task[],
  rules: PlacementRules,
): readonly Task[] {
  const slots = new Map(slotsOf(tasks).map((slot) => [slotKeyOf(slot.tasks[0] as Task), slot]));
  return replaced(tasks, (task) => {
    if (!isWanted(task)) return task;
    const leaving = rules.mustLeave(task);
    if (!leaving && !hasEnded(task)) return task;
    if (!leaving && !isDelayOver(context, task)) return task;
    const over: Task = { ...task, desiredState: "shutdown" };
    const slot = slots.get(slotKeyOf(task));
    if (slot === undefined || !rules.mayReplace(task)) return over;
    if (leaving) return leave(context, task, slot, rules);
    if (isCovered(context, task, slot)) return over;
    return shouldRestart(task) ? [over, restarted(context, task, slot)] : over;
  });
}

/** Off a node that it may not be on: at once, or once its successor runs. */
function leave(
  context: ServiceContext,
  task: Task,
  slot: Slot,
  rules: PlacementRules,
): Task | readonly Task[] {
  const over: Task = { ...task, desiredState: "shutdown" };
  if (policyOf(task).condition === "none") return over;
  const handover = handoverOf(context, task, slot, rules);
  switch (handover) {
    case "begin":
      return [task, moved(context, task, slot, "running")];
    case "wait":
      return task;
    case "done":
      return over;
    case "stop":
      // Whoever else is in the slot goes on with it.
      return slot.wanted.length > 1 ? over : [over, moved(context, task, slot, "ready")];
    default:
      return unreachable(handover);
  }
}

/** Lets tasks that wait at READY go on, once their delay is over and their predecessors have stopped. */
export const promoteStep: Step = (context, tasks) => {
  const waiting = new Set(
    slotsOf(tasks)
      .flatMap((slot) => slot.wanted.map((task) => ({ task, slot })))
      .filter(({ task }) => task.desiredState === "ready")
      .filter(({ task, slot }) => isDelayOver(context, task) && isSlotFree(context, task, slot))
      .map(({ task }) => task.id),
  );
  if (waiting.size === 0) return tasks;
  return tasks.map((task) => (waiting.has(task.id) ? { ...task, desiredState: "running" } : task));
};

function isDelayOver({ deadlines }: ServiceContext, task: Task): boolean {
  const notBefore = task.orchestration?.notBefore;
  if (notBefore === undefined) return true;
  const createdMs = Date.parse(task.createdAt);
  return deadlines.reached(task.id, createdMs, Date.parse(notBefore) - createdMs);
}

function isSlotFree({ deadlines, nodes }: ServiceContext, task: Task, slot: Slot): boolean {
  const stopping = slot.tasks.filter((other) => !isWanted(other) && !hasStopped(other, nodes));
  const graceMs = stopping.map(gracePeriodOf).reduce((a, b) => Math.max(a, b), 0);
  return (
    stopping.length === 0 ||
    deadlines.reached(task.id, Date.parse(task.createdAt), STOP_TIMEOUT_MS + graceMs)
  );
}

/** Whether another task of the slot is there that serves as well. */
function isCovered({ service, nodes }: ServiceContext, task: Task, slot: Slot): boolean {
  const isDirty = (each: Task) => isTaskDirty(service, each, nodes.get(each.nodeID ?? ""));
  const others = slot.wanted.filter((other) => other.id !== task.id && !hasEnded(other));
  return others.some((other) => isDirty(task) || !isDirty(other));
}

/** After a failure: its delay counts from now, and the attempt is remembered where attempts are limited. */
function restarted(context: ServiceContext, task: Task, { place }: Slot): Task {
  const { deadlines, service } = context;
  const { delay } = policyOf(task);
  const delayMs = delay === undefined ? RESTART_DELAY_MS : millisecondsOf(delay);
  const notBefore = new Date(deadlines.nowMs + delayMs).toISOString();
  const maxAttempts = service.spec.taskTemplate.restartPolicy?.maxAttempts ?? 0;
  const sameSpec = task.specVersion.index === service.specVersion.index;
  const earlier = sameSpec ? (task.orchestration?.restarts ?? []) : [];
  // More than the limit's own number of attempts would not change the answer.
  const restarts = maxAttempts > 0 ? [...earlier, deadlines.now].slice(-maxAttempts) : undefined;
  return newTask(context, place, {
    desiredState: "ready",
    orchestration: {
      origin: "restart",
      notBefore,
      ...(restarts === undefined ? {} : { restarts }),
    },
  });
}

/** For one that leaves a node that is drained, down or no longer fitting: that is no attempt of the task's own. */
function moved(
  context: ServiceContext,
  task: Task,
  { place }: Slot,
  desiredState: "ready" | "running",
): Task {
  const { notBefore, restarts } = task.orchestration ?? {};
  return newTask(context, place, {
    desiredState,
    orchestration: {
      origin: "restart",
      ...(notBefore === undefined ? {} : { notBefore }),
      ...(restarts === undefined ? {} : { restarts }),
    },
  });
}

function policyOf(task: Task): RestartPolicy {
  return task.spec.restartPolicy ?? {};
}

function gracePeriodOf(task: Task): number {
  const period = task.spec.containerSpec.stopGracePeriod;
  return period === undefined ? STOP_GRACE_PERIOD_MS : millisecondsOf(period);
}
