/** How tasks are called: `web.1.<task id>` in a replicated service, `web.<node id>.<task id>` in a global one. */
import type { Task } from "./objects.ts";

/** The task's full name, unique in the cluster; its container has the same. */
export function taskName(task: Task): string {
  // A job's first slot is 0, which Docker takes for none.
  const place = task.slot ? String(task.slot) : (task.nodeID ?? "0");
  return `${task.serviceAnnotations.name}.${place}.${task.id}`;
}
