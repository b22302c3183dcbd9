/** Which tasks a node is told about, and what it may do with them now. Pure: same snapshot and holds, same answer. */
import { isDeepStrictEqual } from "node:util";
import type { TaskID } from "../base/ids.ts";
import { isTaskStateAtLeast, isTerminal, type Task } from "../cluster/objects.ts";
import type { Snapshot } from "../cluster/store.ts";
import { mustStop, type TaskAssignment } from "./assignment.ts";

/**
 * Every task that the scheduler has given to the node, from `assigned` until the store forgets it: an
 * ended task stays, so that its container's logs stay too.
 */
export function assignmentsOfNode(
  snapshot: Snapshot,
  nodeID: string,
  held: ReadonlySet<TaskID>,
): ReadonlyMap<string, TaskAssignment> {
  const assignments = new Map<string, TaskAssignment>();
  for (const task of snapshot.tasksOfNode(nodeID)) {
    if (!isTaskStateAtLeast(task.status.state, "assigned")) continue;
    const registryAuth = snapshot.get("service", task.serviceID)?.registryAuth;
    assignments.set(task.id, {
      task: held.has(task.id) ? { ...task, desiredState: "running" } : task,
      ...(registryAuth === undefined ? {} : { registryAuth }),
    });
  }
  return assignments;
}

/** Data of secrets and configs by id, in base64, as the store has it. */
export interface NodePayloads {
  readonly secrets: ReadonlyMap<string, string>;
  readonly configs: ReadonlyMap<string, string>;
}

/** What a node's tasks read, as long as they may run: a node that runs none is told no secret. */
export function payloadsOfNode(
  snapshot: Snapshot,
  assignments: ReadonlyMap<string, TaskAssignment>,
): NodePayloads {
  const secrets = new Map<string, string>();
  const configs = new Map<string, string>();
  for (const { task } of assignments.values()) {
    if (mustStop(task.desiredState) || isTerminal(task.status.state)) continue;
    const { containerSpec } = task.spec;
    for (const { secretID } of containerSpec.secrets ?? []) {
      const secret = snapshot.get("secret", secretID);
      if (secret !== undefined) secrets.set(secretID, secret.spec.data);
    }
    for (const { configID } of containerSpec.configs ?? []) {
      const config = snapshot.get("config", configID);
      if (config !== undefined) configs.set(configID, config.spec.data);
    }
  }
  return { secrets, configs };
}

/**
 * Whether a node that has `a` need not be told `b`. The status is left out: from `assigned` on it is the
 * node's own word, and an echo of it would be a message per report.
 */
export function isSameAssignment(a: TaskAssignment, b: TaskAssignment): boolean {
  if (a.task === b.task && a.registryAuth === b.registryAuth) return true;
  return (
    a.registryAuth === b.registryAuth && isDeepStrictEqual(agentsPart(a.task), agentsPart(b.task))
  );
}

function agentsPart(task: Task): unknown {
  const { version: _version, updatedAt: _updatedAt, status: _status, ...rest } = task;
  return rest;
}
