/** What the dispatcher asks of snapshot and mesh together. Pure. */
import type { TaskID } from "../base/ids.ts";
import type { Snapshot } from "../cluster/store.ts";
import type { OverlayService } from "../datapath/overlay/view.ts";
import type { MeshService } from "../datapath/view.ts";
import { mustStop } from "./assignment.ts";
import { ingressAddressOf, type MeshTable } from "./mesh.ts";
import type { ProbeTarget } from "./node-liveness.ts";

/** Tasks that must stop and still have connections led to them by some node's kernel, or had until this revision. */
export function stoppingEndpoints(snapshot: Snapshot, mesh: MeshTable): readonly TaskID[] {
  const stopping = new Set<TaskID>();
  for (const { endpoints } of servicesOf(mesh)) {
    for (const endpoint of endpoints) {
      if (endpoint.state !== "draining") continue;
      const task = snapshot.get("task", endpoint.taskID);
      if (task !== undefined && mustStop(task.desiredState)) stopping.add(task.id);
    }
  }
  return [...stopping];
}

/** Its parts in the ingress network and in overlay networks. */
function* servicesOf(mesh: MeshTable): Iterable<MeshService | OverlayService> {
  yield* mesh.services.values();
  for (const { services } of mesh.overlays.tables.values()) yield* services.values();
}

/** Where a node's running tasks can be asked whether they are there. */
export function runningEndpoints(snapshot: Snapshot, nodeID: string): readonly ProbeTarget[] {
  return snapshot.tasksOfNode(nodeID).flatMap((task) => {
    const address = ingressAddressOf(snapshot, task);
    if (task.status.state !== "running" || address === undefined) return [];
    return [{ taskID: task.id, address }];
  });
}
