/**
 * Jobs: tasks that run to their end, each slot or node once per iteration. Whatever changes the service begins a
 * new iteration, in which everything runs again. Inside, a job's task is wanted as any other (desired state
 * RUNNING); users are shown Docker's COMPLETE for it.
 */
import { isTerminal, type Task } from "../cluster/objects.ts";
import { isWanted } from "../cluster/task-lifecycle.ts";
import { globalRules, isOpen } from "./global.ts";
import { replicatedRules } from "./replicated.ts";
import { promoteStep, restartStep } from "./restart.ts";
import { newTask, type ServiceContext, type Step } from "./service-context.ts";

/** What the tasks of a service in a job mode should become. */
export const jobStep: Step = (context, tasks) => {
  const { spec } = context.service;
  const isGlobal = spec.mode.globalJob !== undefined;
  const rules = isGlobal ? globalRules(context) : replicatedRules(context);
  const current = tasks.filter((task) => isCurrent(context, task));
  const done = current.filter(isComplete);
  const left = current.filter((task) => !isComplete(task));
  const past = tasks.filter((task) => !isCurrent(context, task)).map(retired);
  const restarted = [...past, ...done, ...restartStep(context, left, rules)];
  const begun = isGlobal ? beginOnNodes(context, restarted) : beginSlots(context, restarted);
  return promoteStep(context, [...restarted, ...begun]);
};

/** Slots that have had no task in this iteration, as many as may be under way at once. */
function beginSlots(context: ServiceContext, tasks: readonly Task[]): readonly Task[] {
  const { totalCompletions = 0, maxConcurrent = 0 } = context.service.spec.mode.replicatedJob ?? {};
  const current = tasks.filter((task) => isCurrent(context, task));
  const taken = new Set(current.map(({ slot }) => slot));
  const room = maxConcurrent - current.filter(isUnderWay).length;
  const begun: Task[] = [];
  for (let slot = 0; slot < totalCompletions && begun.length < room; slot += 1) {
    if (taken.has(slot)) continue;
    begun.push(newTask(context, { slot }, { desiredState: "running" }));
  }
  return begun;
}

/** Nodes that have had no task in this iteration. */
function beginOnNodes(context: ServiceContext, tasks: readonly Task[]): readonly Task[] {
  const current = tasks.filter((task) => isCurrent(context, task));
  const taken = new Set(current.map(({ nodeID }) => nodeID));
  return [...context.nodes.values()]
    .filter((node) => isOpen(context, node) && !taken.has(node.id))
    .map(({ id }) => newTask(context, { nodeID: id }, { desiredState: "running" }));
}

/** A task of an earlier iteration: history when it has ended, else nobody waits for its end any more. */
function retired(task: Task): Task {
  if (!isWanted(task)) return task;
  return { ...task, desiredState: isTerminal(task.status.state) ? "shutdown" : "remove" };
}

function isCurrent({ service }: ServiceContext, task: Task): boolean {
  return task.jobIteration === service.jobStatus?.jobIteration && task.desiredState !== "remove";
}

function isUnderWay(task: Task): boolean {
  return isWanted(task) && !isTerminal(task.status.state);
}

function isComplete(task: Task): boolean {
  return task.status.state === "complete";
}
