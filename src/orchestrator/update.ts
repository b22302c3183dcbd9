/**
 * Rolling updates and rollbacks: slots whose task is not what the service asks for are replaced, so many
 * at a time, watched for failures, and told about in `updateStatus`. All it needs to know stands in the
 * store, so an update goes on where it was when the daemon is started again.
 */
import { millisecondsOf } from "../base/duration.ts";
import {
  isTaskStateAtLeast,
  isTerminal,
  type Service,
  type Task,
  type UpdateConfig,
  type UpdateStatus,
} from "../cluster/objects.ts";
import { isTaskDirty } from "../cluster/task-dirty.ts";
import { isWanted } from "../cluster/task-lifecycle.ts";
import { isSettled, type PlacementRules } from "./restart.ts";
import { newTask, type ServiceContext } from "./service-context.ts";
import { replaced, type Slot, slotsOf } from "./slots.ts";

const MONITOR_MS = 5_000;
const DEFAULT_CONFIG: UpdateConfig = { parallelism: 1 };

export interface UpdatePlan {
  readonly tasks: readonly Task[];
  readonly service: Service;
}

/** What stands in the way of an update at one moment. */
interface Progress {
  readonly config: UpdateConfig;
  /** Slots that nothing was done for yet. */
  readonly dirty: readonly Slot[];
  /** Replacements that this update has made. */
  readonly made: readonly Task[];
}

/**
 * Ends what replacements have made superfluous: at once when old ones stop first, else when the new one runs.
 * Those that leave their node meanwhile have been seen to.
 */
export function retireStep(
  context: ServiceContext,
  tasks: readonly Task[],
  { mustLeave }: Pick<PlacementRules, "mustLeave">,
): readonly Task[] {
  const retired = new Set<Task>();
  for (const slot of slotsOf(tasks)) {
    const wanted = slot.wanted.filter((task) => !mustLeave(task));
    if (wanted.length < 2) continue;
    const clean = wanted.filter((task) => !isDirty(context, task));
    const [best] = [...clean].sort((a, b) => Number(isRunning(b)) - Number(isRunning(a)));
    if (best === undefined) continue;
    const mayRetireOld = configOf(context.service).order !== "start-first" || isRunning(best);
    for (const task of wanted) {
      if (task !== best && (clean.includes(task) || mayRetireOld)) retired.add(task);
    }
  }
  if (retired.size === 0) return tasks;
  return tasks.map(
    (task): Task => (retired.has(task) ? { ...task, desiredState: "shutdown" } : task),
  );
}

/** The next move of the service's update. `mayUpdate` leaves slots out that must not be touched now. */
export function updateStep(
  context: ServiceContext,
  tasks: readonly Task[],
  mayUpdate: (slot: Slot) => boolean,
): UpdatePlan {
  const noted = noteRunning(context, tasks);
  const unchanged = { tasks: noted, service: context.service };
  if (isPaused(context.service.updateStatus)) return unchanged;
  const service = started(context, noted, mayUpdate);
  if (service === undefined) return unchanged;
  const progress = progressOf({ ...context, service }, noted, mayUpdate);
  const judged = judge({ ...context, service }, progress);
  if (judged.updateStatus?.state !== service.updateStatus?.state)
    return { tasks: noted, service: judged };
  return advance({ ...context, service: judged }, noted, progress);
}

/** The service with an update under way; undefined when there is nothing to update. */
function started(
  context: ServiceContext,
  tasks: readonly Task[],
  mayUpdate: (slot: Slot) => boolean,
): Service | undefined {
  const { service, deadlines } = context;
  if (isUnderWay(service.updateStatus)) return service;
  if (dirtySlots(context, tasks, mayUpdate).length === 0) return undefined;
  // What is found dirty after the end of an update is brought up to date without another announcement.
  if (service.updateStatus !== undefined) return service;
  const updateStatus: UpdateStatus = {
    state: "updating",
    startedAt: deadlines.now,
    message: "update in progress",
  };
  return { ...service, updateStatus };
}

function progressOf(
  context: ServiceContext,
  tasks: readonly Task[],
  mayUpdate: (slot: Slot) => boolean,
): Progress {
  return {
    config: configOf(context.service),
    dirty: dirtySlots(context, tasks, mayUpdate),
    made: tasks.filter((task) => isReplacement(context.service, task)),
  };
}

/** Counts failures; above the ratio the update is paused or rolled back. */
function judge(context: ServiceContext, { config, dirty, made }: Progress): Service {
  const { service } = context;
  const status = service.updateStatus;
  if (config.failureAction === "continue" || status === undefined || !isUnderWay(status)) {
    return service;
  }
  const known = status.failedTasks ?? [];
  const failed = made.filter((task) => hasFailedEarly(task, config)).map(({ id }) => id);
  const fresh = failed.filter((id) => !known.includes(id));
  const latest = fresh.at(-1);
  if (latest === undefined) return service;
  const failedTasks = [...known, ...fresh];
  const total = new Set(made.map(({ slot, nodeID }) => slot ?? nodeID)).size + dirty.length;
  const counted = { ...service, updateStatus: { ...status, failedTasks } };
  if (failedTasks.length / total <= (config.maxFailureRatio ?? 0)) return counted;
  const cause = `due to failure or early termination of task ${latest}`;
  const isRollback = status.state === "rollback_started";
  if (config.failureAction !== "rollback") return paused(counted, `update paused ${cause}`);
  if (isRollback) return paused(counted, `rollback paused ${cause}`);
  return rolledBack(context, counted, cause);
}

function rolledBack({ nextVersion }: ServiceContext, service: Service, cause: string): Service {
  const { previousSpec, updateStatus, ...rest } = service;
  if (previousSpec === undefined) return paused(service, `update paused ${cause}`);
  const startedAt = updateStatus?.startedAt;
  return {
    ...rest,
    spec: previousSpec,
    specVersion: { index: nextVersion },
    updateStatus: {
      state: "rollback_started",
      message: `update rolled back ${cause}`,
      ...(startedAt === undefined ? {} : { startedAt }),
    },
  };
}

function paused(service: Service, message: string): Service {
  const status = service.updateStatus;
  const state = status?.state === "rollback_started" ? "rollback_paused" : "paused";
  return { ...service, updateStatus: { ...status, state, message } };
}

/** Replaces as many slots as may be in hand at once; with none left, ends the update after its last watch. */
function advance(context: ServiceContext, tasks: readonly Task[], progress: Progress): UpdatePlan {
  const { config, dirty, made } = progress;
  const { service, deadlines } = context;
  // Those too that were made before the service was scaled meanwhile, which is a new version of its spec.
  const inHand = tasks.filter(
    (task) => task.orchestration?.origin === "update" && !isDirty(context, task),
  );
  const busy = inHand.filter(
    (task) => isWanted(task) && !isTaskStateAtLeast(task.status.state, "running"),
  );
  if (dirty.length > 0) {
    const delayMs = millisecondsOf(config.delay ?? 0);
    const resting = inHand.filter(
      (task) => !deadlines.reached(task.id, finishedMs(task) ?? 0, delayMs),
    );
    const room = (config.parallelism || dirty.length) - busy.length - resting.length;
    const chosen = [...dirty].sort(brokenFirst).slice(0, Math.max(0, room));
    return { tasks: replaceSlots(context, tasks, chosen, config), service };
  }
  const status = service.updateStatus;
  if (busy.length > 0 || status === undefined || !isUnderWay(status)) return { tasks, service };
  const monitorMs = config.monitor === undefined ? MONITOR_MS : millisecondsOf(config.monitor);
  const lastMs = made.map((task) => finishedMs(task) ?? 0).reduce((a, b) => Math.max(a, b), 0);
  if (!deadlines.reached(service.id, lastMs, monitorMs)) return { tasks, service };
  return { tasks, service: completed(service, status, deadlines.now) };
}

function completed(service: Service, status: UpdateStatus, now: string): Service {
  const isRollback = status.state === "rollback_started";
  const { failedTasks: _failedTasks, ...shown } = status;
  return {
    ...service,
    updateStatus: {
      ...shown,
      state: isRollback ? "rollback_completed" : "completed",
      message: isRollback ? "rollback completed" : "update completed",
      completedAt: now,
    },
  };
}

function replaceSlots(
  context: ServiceContext,
  tasks: readonly Task[],
  slots: readonly Slot[],
  { order }: UpdateConfig,
): readonly Task[] {
  const startFirst = order === "start-first";
  const old = new Set(startFirst ? [] : slots.flatMap(({ wanted }) => wanted));
  const added = slots.map(({ place }) =>
    newTask(context, place, {
      // Started first, it waits for nobody; else until its predecessor has stopped.
      desiredState: startFirst ? "running" : "ready",
      orchestration: { origin: "update" },
    }),
  );
  return [
    ...tasks.map((task): Task => (old.has(task) ? { ...task, desiredState: "shutdown" } : task)),
    ...added,
  ];
}

function dirtySlots(
  context: ServiceContext,
  tasks: readonly Task[],
  mayUpdate: (slot: Slot) => boolean,
): readonly Slot[] {
  return slotsOf(tasks).filter((slot) => {
    if (!mayUpdate(slot)) return false;
    const last = slot.tasks.at(-1);
    if (slot.wanted.length > 0) return slot.wanted.every((task) => isDirty(context, task));
    return last !== undefined && isSettled(slot, context.service) && isDirty(context, last);
  });
}

/** When a replacement was first seen running is kept with it: its watch and the update's pace count from then. */
function noteRunning(
  { service, deadlines }: ServiceContext,
  tasks: readonly Task[],
): readonly Task[] {
  const isNews = (task: Task) =>
    isReplacement(service, task) && isRunning(task) && task.orchestration?.runningAt === undefined;
  if (!tasks.some(isNews)) return tasks;
  return replaced(tasks, (task) => {
    if (!isNews(task)) return task;
    return {
      ...task,
      orchestration: { origin: "update", ...task.orchestration, runningAt: deadlines.now },
    };
  });
}

function isReplacement(service: Service, task: Task): boolean {
  return (
    task.orchestration?.origin === "update" && task.specVersion.index === service.specVersion.index
  );
}

/** When it came to run, or ended without; undefined while it is still on its way. */
function finishedMs(task: Task): number | undefined {
  const { runningAt } = task.orchestration ?? {};
  if (runningAt !== undefined) return Date.parse(runningAt);
  return isTerminal(task.status.state) ? Date.parse(task.updatedAt) : undefined;
}

/** Ended by itself before it ran, or within the watch after. */
function hasFailedEarly(task: Task, { monitor }: UpdateConfig): boolean {
  // `shutdown` is what an end that was asked for looks like.
  if (!isTerminal(task.status.state) || task.status.state === "shutdown") return false;
  const { runningAt } = task.orchestration ?? {};
  if (runningAt === undefined) return true;
  const monitorMs = monitor === undefined ? MONITOR_MS : millisecondsOf(monitor);
  return Date.parse(task.updatedAt) - Date.parse(runningAt) <= monitorMs;
}

function configOf({ spec, updateStatus }: Service): UpdateConfig {
  const isRollback =
    updateStatus?.state === "rollback_started" || updateStatus?.state === "rollback_paused";
  return (isRollback ? spec.rollbackConfig : spec.updateConfig) ?? DEFAULT_CONFIG;
}

function isDirty({ service, nodes }: ServiceContext, task: Task): boolean {
  return isTaskDirty(service, task, nodes.get(task.nodeID ?? ""));
}

function isRunning({ status }: Task): boolean {
  return status.state === "running";
}

function brokenFirst(a: Slot, b: Slot): number {
  return Number(a.wanted.some(isRunning)) - Number(b.wanted.some(isRunning));
}

function isPaused(status: UpdateStatus | undefined): boolean {
  return status?.state === "paused" || status?.state === "rollback_paused";
}

function isUnderWay(status: UpdateStatus | undefined): boolean {
  return status?.state === "updating" || status?.state === "rollback_started";
}
