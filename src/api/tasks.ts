/** `/tasks`: what became of what the user wants. */
import { SystemError } from "../base/errors.ts";
import { findNode, findService, findTask } from "../cluster/finders.ts";
import { taskName } from "../cluster/names.ts";
import { isTaskStateAtLeast, TASK_STATES, type Task, type TaskState } from "../cluster/objects.ts";
import type { Snapshot } from "../cluster/store.ts";
import { isTaskDirty } from "../cluster/task-dirty.ts";
import { type Answer, type ApiCall, param } from "./call.ts";
import { type Filters, parseFilters } from "./filters.ts";
import { requireManager } from "./manager.ts";
import { portProblemOf } from "./service-view.ts";
import { encodeTask, shownDesiredState } from "./wire/task.ts";

/** `_up-to-date` is asked by the CLI while it waits for a service to converge. */
const FILTERS = [
  "name",
  "id",
  "label",
  "service",
  "node",
  "desired-state",
  "_up-to-date",
  "runtime",
];

export function listTasks(call: ApiCall): Answer {
  const filters = parseFilters(call.query, FILTERS);
  checkDesiredStates(filters);
  const snapshot = requireManager(call.context).store.view();
  const services = filters.get("service").map((service) => findService(snapshot, service).id);
  const { nodeID } = call.context.backend.status();
  const nodes = filters
    .get("node")
    .map((node) => findNode(snapshot, node === "self" ? nodeID : node).id);
  const candidates = candidatesOf(snapshot, services, nodes);
  const describe = encoderOf(snapshot);
  const tasks = candidates.filter(
    (task) =>
      (nodes.length === 0 || nodes.some((node) => node === task.nodeID)) &&
      isListed(task, filters, snapshot),
  );
  return { status: 200, body: tasks.map(describe) };
}

export function inspectTask(call: ApiCall): Answer {
  const snapshot = requireManager(call.context).store.view();
  const task = findTask(snapshot, param(call, "id"));
  return { status: 200, body: encoderOf(snapshot)(task) };
}

/** By the narrowest index that the question allows. */
function candidatesOf(
  snapshot: Snapshot,
  services: readonly string[],
  nodes: readonly string[],
): readonly Task[] {
  if (services.length > 0) {
    return [...new Set(services)].flatMap((service) => snapshot.tasksOfService(service));
  }
  if (nodes.length > 0) return [...new Set(nodes)].flatMap((node) => snapshot.tasksOfNode(node));
  return snapshot.list("task");
}

function isListed(task: Task, filters: Filters, snapshot: Snapshot): boolean {
  return (
    filters.prefix("id", [task.id]) &&
    filters.prefix("name", [taskName(task)]) &&
    filters.labels("label", task.serviceAnnotations.labels) &&
    filters.some("desired-state", (state) => state.toLowerCase() === shownDesiredState(task)) &&
    filters.some("runtime", (runtime) => runtime === "container") &&
    filters.some("_up-to-date", (wanted) => String(isCurrent(task, snapshot)) === wanted)
  );
}

/** As the orchestrator has it: a client that waits for an update waits for no task that is not to be replaced. */
function isCurrent(task: Task, snapshot: Snapshot): boolean {
  const service = snapshot.get("service", task.serviceID);
  const node = snapshot.get("node", task.nodeID ?? "");
  return service !== undefined && !isTaskDirty(service, task, node);
}

function checkDesiredStates(filters: Filters): void {
  for (const state of filters.get("desired-state")) {
    if (!TASK_STATES.includes(state.toLowerCase() as TaskState)) {
      throw new SystemError(`Invalid desired-state filter: '${state}'`);
    }
  }
}

/** Encodes tasks of one snapshot, asking once per service what stands in its ports' way. */
function encoderOf(snapshot: Snapshot): (task: Task) => unknown {
  const problems = new Map<string, string | undefined>();
  return (task) => {
    if (!isLive(task)) return encodeTask(task, snapshot);
    if (!problems.has(task.serviceID)) {
      const service = snapshot.get("service", task.serviceID);
      const problem = service === undefined ? undefined : portProblemOf(service, snapshot);
      problems.set(task.serviceID, problem);
    }
    return encodeTask(task, snapshot, problems.get(task.serviceID));
  };
}

function isLive(task: Task): boolean {
  return task.desiredState === "running" && !isTaskStateAtLeast(task.status.state, "complete");
}
