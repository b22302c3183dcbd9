/** What the dispatcher asks of snapshot and mesh together. Pure. */
import type { TaskID } from "../base/ids.ts";
import type { Snapshot } from "../cluster/store.ts";
import { mustStop } from "./assignment.ts";
import { ingressAddressOf, type MeshTable } from "./mesh.ts";
import type { ProbeTarget } from "./node-liveness.ts";

/** Tasks that must stop and still have connections led to them by some node's kernel, or had until this revision. */
export function stoppingEndpoints(snapshot: Snapshot, mesh: MeshTable): readonly TaskID[] {
  const stopping: TaskID[] = [];
  for (const service of mesh.services.values()) {
    for (const endpoint of service.endpoints) {
      if (endpoint.state !== "draining") continue;
      const task = snapshot.get("task", endpoint.taskID);
      if (task !== undefined && mustStop(task.desiredState)) stopping.push(task.id);
    }
  }
  return stopping;
}

/** Where a node's running tasks can be asked whether they are there. */
export function runningEndpoints(snapshot: Snapshot, nodeID: string): readonly ProbeTarget[] {
  return snapshot.tasksOfNode(nodeID).flatMap((task) => {
    const address = ingressAddressOf(snapshot, task);
    if (task.status.state !== "running" || address === undefined) return [];
    return [{ taskID: task.id, address }];
  });
}
