/** Where each pending task goes, from a snapshot: pure but for the memory of failures it is given. */
import { attributeOf } from "../cluster/constraints.ts";
import { isTaskStateAtLeast, type Task } from "../cluster/objects.ts";
import { sameValue } from "../cluster/same-value.ts";
import type { Snapshot } from "../cluster/store.ts";
import { isWanted } from "../cluster/task-lifecycle.ts";
import { NodeInfo } from "./node-info.ts";
import { Pipeline } from "./pipeline.ts";
import { FAILURES_MAX, type RecentFailures } from "./recent-failures.ts";

const PENDING_MESSAGE = "pending task scheduling";

/** The pending tasks that are given a node, or another reason why they have none. */
export function planSchedule(
  snapshot: Snapshot,
  failures: RecentFailures,
  nowMs: number,
  monotonicMs = nowMs,
): readonly Task[] {
  const pending = snapshot
    .list("task")
    .filter((task) => task.status.state === "pending" && isWanted(task));
  if (pending.length === 0) return [];
  const infos = nodeInfosOf(snapshot);
  const now = new Date(nowMs).toISOString();
  // Tasks that can only go to one node first, then the ones that wait longest.
  pending.sort(
    (a, b) =>
      Number(a.nodeID === undefined) - Number(b.nodeID === undefined) ||
      a.createdAt.localeCompare(b.createdAt) ||
      a.serviceID.localeCompare(b.serviceID) ||
      (a.slot ?? 0) - (b.slot ?? 0),
  );
  const changed: Task[] = [];
  let previous: { readonly task: Task; readonly pipeline: Pipeline } | undefined;
  for (const task of pending) {
    // One service's tasks follow one another: they share their filters.
    const pipeline: Pipeline =
      previous !== undefined && haveSameNeeds(previous.task, task)
        ? previous.pipeline
        : new Pipeline(task);
    previous = { task, pipeline };
    pipeline.reset();
    const info = choose(task, infos, pipeline, (each) =>
      failures.count(task, each.node.id, monotonicMs),
    );
    const placed = info === undefined ? refused(task, pipeline, now) : assigned(task, info, now);
    if (info !== undefined) info.add(placed);
    if (placed !== task) changed.push(placed);
  }
  return changed;
}

function nodeInfosOf(snapshot: Snapshot): readonly NodeInfo[] {
  // In the order they joined, so that equals are filled in an order that does not change.
  const nodes = [...snapshot.list("node")].sort(
    (a, b) => a.createdAt.localeCompare(b.createdAt) || a.id.localeCompare(b.id),
  );
  return nodes.map((node) => {
    const tasks = snapshot
      .tasksOfNode(node.id)
      .filter(({ status }) => isTaskStateAtLeast(status.state, "assigned"));
    return new NodeInfo(node, tasks);
  });
}

function haveSameNeeds(a: Task, b: Task): boolean {
  return (
    a.serviceID === b.serviceID &&
    a.specVersion.index === b.specVersion.index &&
    sameValue(a.endpoint, b.endpoint) &&
    sameValue(a.spec, b.spec)
  );
}

function choose(
  task: Task,
  infos: readonly NodeInfo[],
  pipeline: Pipeline,
  failuresOn: (info: NodeInfo) => number,
): NodeInfo | undefined {
  const allowed =
    task.nodeID === undefined ? infos : infos.filter(({ node }) => node.id === task.nodeID);
  const suitable = allowed.filter((info) => pipeline.accepts(info));
  const group = preferredGroup(task, infos, suitable);
  let best: NodeInfo | undefined;
  for (const info of group) {
    if (best === undefined || isBetter(task, info, best, failuresOn)) best = info;
  }
  return best;
}

/** Fewest tasks of the service, then fewest in all; a node where it keeps failing comes last. */
function isBetter(
  task: Task,
  a: NodeInfo,
  b: NodeInfo,
  failuresOn: (info: NodeInfo) => number,
): boolean {
  const [failuresA, failuresB] = [failuresOn(a), failuresOn(b)];
  if (failuresA !== failuresB && Math.max(failuresA, failuresB) >= FAILURES_MAX) {
    return failuresA < failuresB;
  }
  const [ofServiceA, ofServiceB] = [a, b].map((info) => info.tasksOfService(task.serviceID));
  if (ofServiceA !== ofServiceB) return (ofServiceA ?? 0) < (ofServiceB ?? 0);
  return a.tasks < b.tasks;
}

/**
 * The suitable nodes that `spread` preferences leave: at each level, the branch (nodes with one value of the
 * label; none at all is a value too) where fewest of the service's tasks are.
 */
function preferredGroup(
  task: Task,
  infos: readonly NodeInfo[],
  suitable: readonly NodeInfo[],
): readonly NodeInfo[] {
  let all = infos;
  let group = suitable;
  for (const { spread } of task.spec.placement?.preferences ?? []) {
    const valueOf = ({ node }: NodeInfo) => attributeOf(spread.spreadDescriptor, node) ?? "";
    const load = new Map<string, number>();
    for (const info of all) {
      const value = valueOf(info);
      load.set(value, (load.get(value) ?? 0) + info.tasksOfService(task.serviceID));
    }
    let lightest: string | undefined;
    for (const value of new Set(group.map(valueOf))) {
      if (lightest === undefined || (load.get(value) ?? 0) < (load.get(lightest) ?? 0)) {
        lightest = value;
      }
    }
    group = group.filter((info) => valueOf(info) === lightest);
    all = all.filter((info) => valueOf(info) === lightest);
  }
  return group;
}

function assigned(task: Task, { node }: NodeInfo, timestamp: string): Task {
  const message =
    task.nodeID === undefined
      ? "scheduler assigned task to node"
      : "scheduler confirmed task can run on preassigned node";
  return { ...task, nodeID: node.id, status: { timestamp, state: "assigned", message } };
}

/** Written only when the reason is another than before: a task may wait for days. */
function refused(task: Task, pipeline: Pipeline, timestamp: string): Task {
  const err = pipeline.explain();
  if (task.status.err === err && task.status.message === PENDING_MESSAGE) return task;
  return { ...task, status: { timestamp, state: "pending", message: PENDING_MESSAGE, err } };
}
