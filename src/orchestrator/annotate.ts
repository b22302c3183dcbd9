/** A service's labels for Weft are its tasks' too, from when they are set: none is replaced for it. */
import { sameValue } from "../cluster/same-value.ts";
import { withServiceLabels } from "../cluster/service-labels.ts";
import { isOver } from "../cluster/task-lifecycle.ts";
import type { Step } from "./service-context.ts";
import { replaced } from "./slots.ts";

export const annotateStep: Step = ({ service }, tasks) =>
  replaced(tasks, (task) => {
    if (isOver(task)) return task;
    const { serviceAnnotations } = task;
    const labels = withServiceLabels(serviceAnnotations.labels, service.spec.labels);
    if (sameValue(labels, serviceAnnotations.labels)) return task;
    return { ...task, serviceAnnotations: { ...serviceAnnotations, labels } };
  });
