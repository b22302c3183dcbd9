/**
 * Placeholders in a service's host name, environment and mounts, filled in for one task on one node: the
 * fields that Docker offers, in the forms of Go's templates that people write for them.
 */
import { InvalidParameterError } from "../base/errors.ts";
import { taskName } from "./names.ts";
import type { ContainerSpec, Labels, Mount, NodeDescription, Task } from "./objects.ts";

/** The node that a task is on, as templates name it. */
export interface TemplateNode {
  readonly nodeID: string;
  readonly hostname: string;
  readonly platform: NodeDescription["platform"];
}

/** What of a volume's options may hold placeholders, as the API has decoded it. */
interface VolumeTexts {
  readonly labels?: Labels;
  readonly driverConfig?: { readonly options?: Labels };
}

/** The task's container spec with every placeholder filled in; throws what the task is rejected with. */
export function expandTemplates(task: Task, node: TemplateNode): ContainerSpec {
  return expandSpec(task.spec.containerSpec, (text) => expandText(text, task, node));
}

/** Throws what is wrong with a placeholder of the spec, whatever task and node it is filled in for. */
export function checkTemplates(spec: ContainerSpec): void {
  const { hostname = "", env = [], mounts = [] } = spec;
  const check = (text: string, what: string, part = "") => {
    const fault = faultIn(text);
    if (fault === undefined) return;
    const where = part === "" ? "" : `expanding ${part}${JSON.stringify(text)}: `;
    throw new InvalidParameterError(`expanding ${what} failed: ${where}${fault}`);
  };
  check(hostname, "hostname");
  for (const line of env) check(line, "env", "env ");
  for (const { source = "", target, volumeOptions = {} } of mounts) {
    check(source, "mounts", "mount source ");
    check(target, "mounts", "mount target ");
    const { labels, driverConfig } = volumeOptions as VolumeTexts;
    for (const [key, text] of Object.entries(labels ?? {})) {
      check(text, "mounts", `volume labels: expanding map entry ${JSON.stringify(key)}=`);
    }
    for (const [key, text] of Object.entries(driverConfig?.options ?? {})) {
      check(text, "mounts", `volume driver config: expanding map entry ${JSON.stringify(key)}=`);
    }
  }
}

function expandSpec(spec: ContainerSpec, expand: (text: string) => string): ContainerSpec {
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
    ...(mount.volumeOptions === undefined
      ? {}
      : { volumeOptions: expandVolume(mount.volumeOptions, expand) }),
  };
}

/** Of a volume that is made for the mount: what its labels and its driver's options say. */
function expandVolume(
  options: NonNullable<Mount["volumeOptions"]>,
  expand: (text: string) => string,
): NonNullable<Mount["volumeOptions"]> {
  const { labels, driverConfig } = options as VolumeTexts;
  const values = (texts: Labels) =>
    Object.fromEntries(Object.entries(texts).map(([key, text]) => [key, expand(text)]));
  return {
    ...options,
    ...(labels === undefined ? {} : { labels: values(labels) }),
    ...(driverConfig?.options === undefined
      ? {}
      : { driverConfig: { ...driverConfig, options: values(driverConfig.options) } }),
  };
}

const PLACEHOLDER = /\{\{(.*?)\}\}/gs;

/** What is wrong with the text, in Go's words where its placeholders have no end. */
function faultIn(text: string): string | undefined {
  for (const [placeholder = "", inner = ""] of text.matchAll(PLACEHOLDER)) {
    if (!isKnown(inner.trim())) return unknownField(placeholder);
  }
  const [, open] = text.replaceAll(PLACEHOLDER, "").split("{{");
  if (open === undefined) return undefined;
  const fault = open.includes("}") ? "bad character U+007D '}'" : "unclosed action";
  return `template: expansion:1: ${fault}`;
}

function expandText(text: string, task: Task, node: TemplateNode): string {
  return text.replace(PLACEHOLDER, (placeholder, inner: string) => {
    const value = valueOf(inner.trim(), task, node);
    if (value !== undefined) return value;
    throw new InvalidParameterError(unknownField(placeholder));
  });
}

type FieldName = keyof typeof FIELDS;

const FIELDS = {
  ".Service.ID": (task: Task) => task.serviceID,
  ".Service.Name": (task: Task) => task.serviceAnnotations.name,
  ".Node.ID": (_: Task, node: TemplateNode) => node.nodeID,
  ".Node.Hostname": (_: Task, node: TemplateNode) => node.hostname,
  ".Node.Platform.Architecture": (_: Task, node: TemplateNode) => node.platform.architecture,
  ".Node.Platform.OS": (_: Task, node: TemplateNode) => node.platform.os,
  ".Task.ID": (task: Task) => task.id,
  ".Task.Name": (task: Task) => taskName(task),
  // Docker's: the slot of a global service's task is its node.
  ".Task.Slot": (task: Task, node: TemplateNode) => (task.slot ? String(task.slot) : node.nodeID),
} as const;

function isField(expression: string): expression is FieldName {
  return Object.hasOwn(FIELDS, expression);
}

function isKnown(expression: string): boolean {
  return isField(expression) || labelIn(expression) !== undefined;
}

function valueOf(expression: string, task: Task, node: TemplateNode): string | undefined {
  const label = labelIn(expression);
  if (label !== undefined) return labelOf(task.serviceAnnotations.labels, label);
  return isField(expression) ? FIELDS[expression](task, node) : undefined;
}

function unknownField(placeholder: string): string {
  const fields = [...Object.keys(FIELDS), ".Service.Labels"].join(", ");
  return `invalid template ${placeholder}: a task has ${fields}`;
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
