/** What the dispatcher asks of snapshot and mesh together. Pure. */
import type { TaskID } from "../base/ids.ts";
import type { Snapshot } from "../cluster/store.ts";
import type { OverlayService } from "../datapath/overlay/view.ts";
import { mustStop, type ToldService } from "./assignment.ts";
import { asEndpoint } from "./endpoint-state.ts";
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
function* servicesOf(mesh: MeshTable): Iterable<ToldService | OverlayService> {
  yield* mesh.services.values();
  for (const { services } of mesh.overlays.tables.values()) yield* services.values();
}

/**
 * Where a node's running tasks, and users' containers in overlay networks, can be asked whether they are there. Nobody
 * outside of its networks reaches what is in overlay networks alone: the host answers for it, by its own address.
 */
export function runningEndpoints(snapshot: Snapshot, nodeID: string): readonly ProbeTarget[] {
  const host = snapshot.get("node", nodeID)?.ingressAddress;
  const target = (taskID: TaskID, address: string | undefined): readonly ProbeTarget[] =>
    address === undefined ? [] : [{ taskID, address }];
  const tasks = snapshot
    .tasksOfNode(nodeID)
    .filter(({ status, networksAttachments }) => {
      return status.state === "running" && networksAttachments.length > 0;
    })
    .flatMap((task) => target(task.id, ingressAddressOf(snapshot, task) ?? host));
  const containers = snapshot
    .list("attachment")
    .filter((attachment) => attachment.nodeID === nodeID)
    .flatMap(({ id }) => target(asEndpoint(id), host));
  return [...tasks, ...containers];
}
