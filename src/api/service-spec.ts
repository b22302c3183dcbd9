/**
 * What a service's spec must be, whatever else is in the cluster. Pure; checks, order and texts are SwarmKit's
 * (manager/controlapi/service.go), beside the few that Docker lets pass and that cannot work.
 */
import { InvalidParameterError, NotImplementedError } from "../base/errors.ts";
import { parseConstraints } from "../cluster/constraints.ts";
import type {
  ContainerSpec,
  EndpointSpec,
  HealthConfig,
  PortConfig,
  Resources,
  ServiceSpec,
  TaskSpec,
  UpdateConfig,
} from "../cluster/objects.ts";
import { validateServiceLabels } from "../cluster/service-labels.ts";
import { checkTemplates } from "../cluster/template.ts";
import { rpcError } from "./errors.ts";
import { isImageReference } from "./image-reference.ts";
import { validateReferences } from "./payload-writes.ts";
import { NO_CONTAINER } from "./wire/service.ts";

/** A DNS label's length: the service's name is one. */
const MAX_NAME_LENGTH = 63;
/** Of one service: about as many as an ingress network has addresses for. */
const TASKS_MAX = 50_000;
const NAME = /^[A-Za-z0-9](?:[-_A-Za-z0-9]*[A-Za-z0-9])?$/;
const MAX_PORT = 65_535;

/** Thousandths of a core, in NanoCPUs. */
const OOM_SCORE_ADJ_MAX = 1_000;
const MIN_NANO_CPUS = 1_000_000;
const MIN_MEMORY_BYTES = 4 * 1024 * 1024;
const NANOSECONDS_PER_MILLISECOND = 1_000_000;

/** Throws what is wrong with the spec first. */
export function validateServiceSpec(spec: ServiceSpec): void {
  validateRuntime(spec.taskTemplate);
  if (Object.keys(spec.mode).length > 1) {
    throw new InvalidParameterError("must specify only one service mode");
  }
  validateMode(spec.mode);
  validateName(spec.name);
  validateServiceLabels(spec.labels);
  validateTask(spec.taskTemplate);
  if (spec.updateConfig !== undefined) validateUpdate(spec.updateConfig);
  if (spec.endpointSpec !== undefined) validateEndpoint(spec.endpointSpec);
}

/** As "published=8080, mode host": one entry per port that is asked for by number. */
export function publishedPorts(spec: EndpointSpec | undefined): readonly PortConfig[] {
  return (spec?.ports ?? []).filter((port) => port.publishedPort !== undefined);
}

function validateRuntime(task: TaskSpec): void {
  if (task.containerSpec === NO_CONTAINER) {
    throw new InvalidParameterError("mismatched Runtime and *Spec fields");
  }
  if (task.runtime !== undefined) {
    if (task.runtime !== "plugin") throw new InvalidParameterError("unsupported runtime");
    throw new NotImplementedError("services of plugins are not supported by Weft");
  }
}

/** Refused, where Docker takes what is written and makes tasks until its managers have no memory left. */
function validateMode({ replicated, replicatedJob }: ServiceSpec["mode"]): void {
  const { maxConcurrent = 0, totalCompletions = 0 } = replicatedJob ?? {};
  const most = Math.max(replicated?.replicas ?? 0, maxConcurrent, totalCompletions);
  if (most > TASKS_MAX) {
    throw invalid(
      `ServiceSpec: ${most} tasks are asked for, and a service has ${TASKS_MAX} at most`,
    );
  }
}

function validateName(name: string): void {
  if (!NAME.test(name)) throw invalid("name must be valid as a DNS name component");
  if (name.length > MAX_NAME_LENGTH) {
    throw invalid(`name must be ${MAX_NAME_LENGTH} characters or fewer`);
  }
}

function validateTask(task: TaskSpec): void {
  validateResources(task.resources?.limits);
  validateResources(task.resources?.reservations);
  if ((task.restartPolicy?.delay ?? 0) < 0) {
    throw invalid("TaskSpec: restart-delay cannot be negative");
  }
  if ((task.restartPolicy?.window ?? 0) < 0) {
    throw invalid("TaskSpec: restart-window cannot be negative");
  }
  try {
    parseConstraints(task.placement?.constraints ?? []);
  } catch (error) {
    if (error instanceof InvalidParameterError) throw rpcError("Unknown", error.message);
    throw error;
  }
  validateContainer(task.containerSpec);
}

function validateResources(resources: Resources | undefined): void {
  const { nanoCPUs = 0, memoryBytes = 0 } = resources ?? {};
  if (nanoCPUs !== 0 && nanoCPUs < MIN_NANO_CPUS) {
    throw invalid(`invalid cpu value ${formatFloat(nanoCPUs / 1e9)}: Must be at least 0.001`);
  }
  if (memoryBytes !== 0 && memoryBytes < MIN_MEMORY_BYTES) {
    throw invalid(`invalid memory value ${memoryBytes}: Must be at least 4MiB`);
  }
}

function validateContainer(container: ContainerSpec): void {
  if (container.image === "") throw invalid("ContainerSpec: image reference must be provided");
  if (!isImageReference(container.image)) {
    const image = JSON.stringify(container.image);
    throw invalid(`ContainerSpec: ${image} is not a valid repository/tag`);
  }
  const { oomScoreAdj = 0 } = container;
  if (Math.abs(oomScoreAdj) > OOM_SCORE_ADJ_MAX) {
    throw invalid(`Invalid value ${oomScoreAdj}, range for oom score adj is [-1000, 1000]`);
  }
  if (container.isolation !== undefined) {
    throw invalid(`invalid isolation '${container.isolation}' on linux`);
  }
  try {
    checkTemplates(container);
  } catch (error) {
    if (error instanceof InvalidParameterError) throw invalid(error.message);
    throw error;
  }
  const targets = new Set<string>();
  for (const { target } of container.mounts ?? []) {
    if (targets.has(target)) throw invalid(`ContainerSpec: duplicate mount point: ${target}`);
    targets.add(target);
  }
  if (container.healthcheck !== undefined) validateHealth(container.healthcheck);
  validateReferences(container);
}

function validateHealth(health: HealthConfig): void {
  const times = [
    ["Interval", health.interval],
    ["Timeout", health.timeout],
    ["StartPeriod", health.startPeriod],
  ] as const;
  for (const [name, value] of times) {
    if (value !== undefined && value !== 0 && value < NANOSECONDS_PER_MILLISECOND) {
      throw invalid(`ContainerSpec: ${name} in HealthConfig cannot be less than 1ms`);
    }
  }
  if ((health.retries ?? 0) < 0) {
    throw invalid("ContainerSpec: Retries in HealthConfig cannot be negative");
  }
}

function validateUpdate(update: UpdateConfig): void {
  if ((update.delay ?? 0) < 0) throw invalid("TaskSpec: update-delay cannot be negative");
  if ((update.monitor ?? 0) < 0) throw invalid("TaskSpec: update-monitor cannot be negative");
  const ratio = update.maxFailureRatio ?? 0;
  if (ratio < 0 || ratio > 1) {
    throw invalid("TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1");
  }
}

function validateEndpoint(endpoint: EndpointSpec): void {
  for (const port of endpoint.ports) validatePort(port);
  if (endpoint.mode === "dnsrr" && endpoint.ports.some((port) => port.publishMode === "ingress")) {
    throw invalid("EndpointSpec: port published with ingress mode can't be used with dnsrr mode");
  }
  const seen = new Set<string>();
  for (const port of publishedPorts(endpoint)) {
    const key = `${port.protocol}/${port.publishedPort}`;
    if (seen.has(key)) throw invalid("EndpointSpec: duplicate published ports provided");
    seen.add(key);
  }
}

/** Docker takes these and then answers on no port, or on another: better refused. */
function validatePort(port: PortConfig): void {
  if (port.targetPort < 1 || port.targetPort > MAX_PORT) {
    throw invalid(`EndpointSpec: invalid target port ${port.targetPort}: must be 1 to ${MAX_PORT}`);
  }
  if (port.publishedPort !== undefined && port.publishedPort > MAX_PORT) {
    throw invalid(
      `EndpointSpec: invalid published port ${port.publishedPort}: must be 1 to ${MAX_PORT}`,
    );
  }
  if (port.protocol === "sctp") {
    throw invalid(
      `EndpointSpec: port ${port.publishedPort ?? port.targetPort}/sctp cannot be published: Weft carries tcp and udp`,
    );
  }
}

function invalid(description: string): Error {
  return rpcError("InvalidArgument", description);
}

/** As Go's %g: an exponent of two digits below 0.0001. */
function formatFloat(value: number): string {
  if (value === 0 || Math.abs(value) >= 1e-4) return String(value);
  return value.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
}
