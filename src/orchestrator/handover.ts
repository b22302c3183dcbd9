/**
 * A task that has to leave a living node, and whose clients would notice: it goes on until another one runs
 * elsewhere. docs/decisions/0007 says why, and for which tasks. Pure.
 */
import type { Node, Task } from "../cluster/objects.ts";
import type { PlacementRules } from "./restart.ts";
import type { ServiceContext } from "./service-context.ts";
import { hasEnded, type Slot } from "./slots.ts";

/** A successor that does not run by then may never do: the node is left without it. */
export const HANDOVER_MS_MAX = 60_000;

/** What becomes of a task that has to leave. */
export type Handover =
  /** It is stopped, before whatever follows it runs. */
  | "stop"
  /** It goes on, and a successor is to be made. */
  | "begin"
  /** It goes on, until its successor runs. */
  | "wait"
  /** Its successor runs. */
  | "done";

export function handoverOf(
  { nodes, deadlines }: ServiceContext,
  task: Task,
  { wanted }: Slot,
  { mustLeave }: Pick<PlacementRules, "mustLeave">,
): Handover {
  if (!canRunTwice(task) || !serves(task, nodes.get(task.nodeID ?? ""))) return "stop";
  if (wanted.length === 1) return "begin";
  const staying = wanted.filter((other) => other.id !== task.id && !mustLeave(other));
  if (staying.some(({ status }) => status.state === "running")) return "done";
  const coming = staying.filter((other) => !hasEnded(other) && !isRefused(other));
  const begun = coming.map(({ createdAt }) => Date.parse(createdAt));
  if (coming.length === 0 || deadlines.reached(task.id, Math.max(...begun), HANDOVER_MS_MAX))
    return "stop";
  return "wait";
}

/** Whether no node can take it as things are. */
export function isRefused({ status }: Task): boolean {
  return status.state === "pending" && status.err !== undefined;
}

/** Clients reach it through the mesh, and nothing of its host is its own: no port, no data. */
function canRunTwice({ endpoint, spec }: Task): boolean {
  const ports = endpoint?.ports ?? [];
  const keeps = (spec.containerSpec.mounts ?? []).some(
    ({ type, readOnly }) => (type === "volume" || type === "bind") && readOnly !== true,
  );
  const isInMesh = ports.some(({ publishMode }) => publishMode === "ingress");
  return isInMesh && !ports.some(({ publishMode }) => publishMode === "host") && !keeps;
}

function serves(task: Task, node: Node | undefined): boolean {
  return task.status.state === "running" && node?.status.state === "ready";
}
