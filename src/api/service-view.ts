/** What Docker shows of a service and its tasks that is not stored: counts, defaults, and ports that nobody could hold. */
import {
  isJob,
  type JobStatus,
  type Service,
  type ServiceSpec,
  type Task,
  type TaskState,
} from "../cluster/objects.ts";
import type { Snapshot } from "../cluster/store.ts";
import { encodeIteration, encodeMeta } from "./wire/meta.ts";
import { endpoint, serviceSpec, updateStatus } from "./wire/service.ts";

const SECOND = 1_000_000_000;
const DEFAULT_STOP_GRACE_PERIOD = 10 * SECOND;
const DEFAULT_RESTART_DELAY = 5 * SECOND;
const DEFAULT_UPDATE = { parallelism: 1, monitor: 5 * SECOND } as const;

export function encodeService(service: Service) {
  return {
    ...encodeMeta(service),
    Spec: serviceSpec.encode(service.spec),
    ...(service.previousSpec === undefined
      ? {}
      : { PreviousSpec: serviceSpec.encode(service.previousSpec) }),
    Endpoint: encodeEndpoint(service),
    ...(service.updateStatus === undefined
      ? {}
      : { UpdateStatus: updateStatus.encode(service.updateStatus) }),
    ...(service.jobStatus === undefined ? {} : { JobStatus: encodeJobStatus(service.jobStatus) }),
  };
}

function encodeJobStatus({ jobIteration, lastExecution }: JobStatus): unknown {
  return { JobIteration: encodeIteration(jobIteration), LastExecution: lastExecution };
}

/** As Docker shows it, a service that is on no network has none. */
function encodeEndpoint({ endpoint: allocated }: Service): unknown {
  const isNone =
    allocated === undefined || allocated.ports.length + allocated.virtualIPs.length === 0;
  return isNone ? { Spec: {} } : endpoint.encode(allocated);
}

/** The service as it would read had its author written out every default. */
export function withDefaults(service: Service): Service {
  return { ...service, spec: specWithDefaults(service.spec) };
}

function specWithDefaults(spec: ServiceSpec): ServiceSpec {
  const { taskTemplate } = spec;
  const { containerSpec } = taskTemplate;
  return {
    ...spec,
    taskTemplate: {
      ...taskTemplate,
      containerSpec: {
        ...containerSpec,
        stopGracePeriod: containerSpec.stopGracePeriod ?? DEFAULT_STOP_GRACE_PERIOD,
        dnsConfig: containerSpec.dnsConfig ?? {},
      },
      resources: taskTemplate.resources ?? {},
      restartPolicy: { delay: DEFAULT_RESTART_DELAY, ...taskTemplate.restartPolicy },
      placement: taskTemplate.placement ?? {},
    },
    updateConfig: spec.updateConfig ?? DEFAULT_UPDATE,
    rollbackConfig: spec.rollbackConfig ?? DEFAULT_UPDATE,
    endpointSpec: spec.endpointSpec ?? { mode: "vip", ports: [] },
  };
}

/** How many tasks run, and how many are meant to, as `service ls` prints them. */
export function statusOfService(service: Service, tasks: readonly Task[]) {
  const { mode } = service.spec;
  const counted = tasks.filter((task) => task.jobIteration === service.jobStatus?.jobIteration);
  const inState = (state: TaskState) =>
    counted.filter((task) => task.status.state === state).length;
  const wanted = counted.filter(
    (task) => task.desiredState === "running" && task.status.state !== "complete",
  ).length;
  return {
    RunningTasks: inState("running"),
    DesiredTasks: mode.replicated?.replicas ?? mode.replicatedJob?.maxConcurrent ?? wanted,
    CompletedTasks: isJob(service.spec) ? inState("complete") : 0,
  };
}

/** As "port 22/tcp: address already in use on n2": where the service's published ports are not answered; undefined where they all are. */
export function portProblemOf(service: Service, snapshot: Snapshot): string | undefined {
  const ports = (service.endpoint?.ports ?? []).filter((port) => port.publishMode === "ingress");
  const problems = ports.flatMap((port) => {
    const nodesByReason = new Map<string, string[]>();
    for (const node of snapshot.list("node")) {
      for (const problem of node.portProblems ?? []) {
        if (problem.protocol !== port.protocol) continue;
        if (problem.publishedPort !== port.publishedPort) continue;
        const nodes = nodesByReason.get(problem.reason) ?? [];
        nodesByReason.set(problem.reason, [...nodes, node.description?.hostname ?? node.id]);
      }
    }
    return [...nodesByReason].map(
      ([reason, nodes]) =>
        `port ${port.publishedPort}/${port.protocol}: ${reason} on ${nodes.join(", ")}`,
    );
  });
  return problems.length === 0 ? undefined : problems.join("; ");
}
