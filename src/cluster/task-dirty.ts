/** Whether a task is still what its service asks for, or has to be replaced. */
import { meetsExpressions } from "./constraints.ts";
import {
  isTaskStateAtLeast,
  type Node,
  type PortConfig,
  type Service,
  type Task,
} from "./objects.ts";
import { sameValue } from "./same-value.ts";

/**
 * Only what the container itself is made of counts. Replicas, update settings, labels and ingress ports
 * do not, so that publishing a port restarts nothing; host-mode ports do, as Docker has it.
 */
export function isTaskDirty(service: Service, task: Task, node: Node | undefined): boolean {
  if (task.specVersion.index === service.specVersion.index) return false;
  const { placement: wantedPlacement, ...wanted } = service.spec.taskTemplate;
  const { placement, ...spec } = task.spec;
  if (!sameValue(wanted, spec)) return true;
  if (!sameValue(wantedPlacement, placement)) {
    // Where a task already stands as the new placement asks, moving it would gain nothing.
    if (node === undefined || !meetsExpressions(wantedPlacement?.constraints, node)) return true;
  }
  return isEndpointDirty(service, task);
}

function isEndpointDirty(service: Service, task: Task): boolean {
  // What is not allocated yet will be by the service as it is now.
  if (!isTaskStateAtLeast(task.status.state, "pending")) return false;
  const wanted = service.spec.endpointSpec?.ports ?? [];
  const had = task.endpoint?.spec.ports ?? [];
  if (!sameValue(wanted.filter(isHostMode), had.filter(isHostMode))) return true;
  // Its first published port: a running container cannot be given the mesh's interface.
  return wanted.length > 0 && task.networksAttachments.length === 0;
}

function isHostMode(port: PortConfig): boolean {
  return port.publishMode === "host";
}
