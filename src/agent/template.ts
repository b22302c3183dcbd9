/**
 * Placeholders in a service's host name, environment and mounts, filled in for one task on one node: the
 * fields that Docker offers, in the forms of Go's templates that people write for them.
 */
import { InvalidParameterError } from "../base/errors.ts";
import type { ContainerSpec, Labels, Mount, NodeDescription, Task } from "../cluster/objects.ts";
import { taskName } from "./task-name.ts";

/** The node that a task is on, as templates name it. */
export interface TemplateNode {
  readonly nodeID: string;
  readonly hostname: string;
  readonly platform: NodeDescription["platform"];
}

/** The task's container spec with every placeholder filled in; throws what the task is rejected with. */
export function expandTemplates(task: Task, node: TemplateNode): ContainerSpec {
  const spec = task.spec.containerSpec;
  const expand = (text: string) => expandText(text, task, node);
  return {
    ...spec,
    ...(spec.hostname === undefined ? {} : { hostname: expand(spec.hostname) }),
    ...(spec.env === undefined ? {} : { env: spec.env.map((line) => expandValue(line, expand)) }),
    ...(spec.mounts === undefined
      ? {}
      : { mounts: spec.mounts.map((mount) => expandMount(mount, expand)) }),
  };
}

/** Only what is behind the equals sign: a variable's name is its name. */
function expandValue(line: string, expand: (text: string) => string): string {
  const equals = line.indexOf("=");
  return equals === -1 ? line : line.slice(0, equals + 1) + expand(line.slice(equals + 1));
}

function expandMount(mount: Mount, expand: (text: string) => string): Mount {
  return {
    ...mount,
    target: expand(mount.target),
    ...(mount.source === undefined ? {} : { source: expand(mount.source) }),
  };
}

function expandText(text: string, task: Task, node: TemplateNode): string {
  return text.replace(/\{\{(.*?)\}\}/gs, (placeholder, inner: string) => {
    const value = valueOf(inner.trim(), task, node);
    if (value !== undefined) return value;
    throw new InvalidParameterError(
      `invalid template ${placeholder}: a task has .Service.ID, .Service.Name, .Service.Labels, .Node.ID, .Node.Hostname, .Node.Platform.Architecture, .Node.Platform.OS, .Task.ID, .Task.Name and .Task.Slot`,
    );
  });
}

function valueOf(expression: string, task: Task, node: TemplateNode): string | undefined {
  const label = labelIn(expression);
  if (label !== undefined) return labelOf(task.serviceAnnotations.labels, label);
  switch (expression) {
    case ".Service.ID":
      return task.serviceID;
    case ".Service.Name":
      return task.serviceAnnotations.name;
    case ".Node.ID":
      return node.nodeID;
    case ".Node.Hostname":
      return node.hostname;
    case ".Node.Platform.Architecture":
      return node.platform.architecture;
    case ".Node.Platform.OS":
      return node.platform.os;
    case ".Task.ID":
      return task.id;
    case ".Task.Name":
      return taskName(task);
    case ".Task.Slot":
      // Docker's: the slot of a global service's task is its node.
      return task.slot === undefined ? node.nodeID : String(task.slot);
    default:
      return undefined;
  }
}

/** The label in `.Service.Labels.key` or `index .Service.Labels "key"`. */
function labelIn(expression: string): string | undefined {
  const match = /^\.Service\.Labels\.(\w+)$|^index\s+\.Service\.Labels\s+"([^"]*)"$/.exec(
    expression,
  );
  return match?.[1] ?? match?.[2];
}

/** Nothing for a label that the service does not have, as Go prints it. */
function labelOf(labels: Labels, key: string): string {
  return Object.hasOwn(labels, key) ? (labels[key] ?? "") : "";
}
