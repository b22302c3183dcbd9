/** What one service's tasks should become, from a snapshot: pure. The steps follow one another on the same tasks. */
import { isJob, type Node, type Service, type Task } from "../cluster/objects.ts";
import type { Snapshot } from "../cluster/store.ts";
import { isWanted } from "../cluster/task-lifecycle.ts";
import { annotateStep } from "./annotate.ts";
import type { Delays, Moment } from "./delays.ts";
import { coverStep, globalRules, isOpen } from "./global.ts";
import { jobStep } from "./jobs.ts";
import { replicatedRules, scaleStep } from "./replicated.ts";
import { promoteStep, restartStep } from "./restart.ts";
import { Deadlines, type ServiceContext } from "./service-context.ts";
import type { Slot } from "./slots.ts";
import { retireStep, updateStep } from "./update.ts";

export interface ServicePlan {
  /** Tasks to put: changed ones and new ones. */
  readonly tasks: readonly Task[];
  /** The service, when its update has moved. */
  readonly service?: Service;
  /** When to plan again though nothing happens, by the monotonic clock. */
  readonly nextMs?: number;
}

export interface PlanServiceInit {
  readonly serviceID: string;
  readonly nodes: ReadonlyMap<string, Node>;
  readonly moment: Moment;
  readonly delays: Delays;
  readonly nextVersion: number;
}

export function planService(snapshot: Snapshot, init: PlanServiceInit): ServicePlan {
  const before = snapshot.tasksOfService(init.serviceID);
  const service = snapshot.get("service", init.serviceID);
  if (service === undefined) return { tasks: removed(before) };
  const { nodes, nextVersion } = init;
  const deadlines = new Deadlines(init.moment, init.delays);
  const context: ServiceContext = { service, nodes, deadlines, nextVersion };
  if (isJob(service.spec)) {
    const tasks = changesBetween(before, jobStep(context, annotateStep(context, before)));
    return { tasks, ...(deadlines.nextMs === undefined ? {} : { nextMs: deadlines.nextMs }) };
  }
  const isGlobal = service.spec.mode.global !== undefined;
  const rules = isGlobal ? globalRules(context) : replicatedRules(context);
  const restarted = restartStep(context, annotateStep(context, before), rules);
  const counted = isGlobal ? coverStep(context, restarted) : scaleStep(context, restarted);
  const retired = retireStep(context, counted, rules);
  const updated = updateStep(context, retired, isGlobal ? isOnOpenNode(context) : () => true);
  const promoted = promoteStep(context, updated.tasks);
  return {
    tasks: changesBetween(before, promoted),
    ...(updated.service === service ? {} : { service: updated.service }),
    ...(deadlines.nextMs === undefined ? {} : { nextMs: deadlines.nextMs }),
  };
}

function isOnOpenNode(context: ServiceContext): (slot: Slot) => boolean {
  return ({ place }) => "nodeID" in place && isOpen(context, context.nodes.get(place.nodeID));
}

/** The tasks of a service that is gone. */
function removed(tasks: readonly Task[]): readonly Task[] {
  return tasks
    .filter((task) => task.desiredState !== "remove")
    .map((task) => ({ ...task, desiredState: "remove" }));
}

function changesBetween(before: readonly Task[], after: readonly Task[]): readonly Task[] {
  const known = new Map(before.map((task) => [task.id, task]));
  return after.filter((task) => {
    const old = known.get(task.id);
    // What a later step took back was never there.
    return old === undefined ? isWanted(task) : old !== task;
  });
}
