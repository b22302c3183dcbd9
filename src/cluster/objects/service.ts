/** A service: what its tasks are to be, how many, where, and how they change. */
import type { NetworkID, ServiceID, TaskID } from "../../base/ids.ts";
import type { ContainerSpec } from "./container-spec.ts";
import type { Labels, ObjectMeta, Version } from "./meta.ts";
import type { Resources } from "./node.ts";
import type { EndpointSpec, PortConfig } from "./ports.ts";

export const RESTART_CONDITIONS = ["none", "on-failure", "any"] as const;

/** Durations in nanoseconds. Absent fields have Docker's defaults: any, 5 s, no limit. */
export interface RestartPolicy {
  readonly condition?: (typeof RESTART_CONDITIONS)[number];
  readonly delay?: number;
  readonly maxAttempts?: number;
  readonly window?: number;
}

export interface Placement {
  readonly constraints?: readonly string[];
  readonly preferences?: readonly { readonly spread: { readonly spreadDescriptor: string } }[];
  readonly maxReplicas?: number;
  readonly platforms?: readonly { readonly architecture?: string; readonly os?: string }[];
}

export interface NetworkAttachmentConfig {
  readonly target: string;
  readonly aliases?: readonly string[];
  readonly driverOpts?: Labels;
}

export interface TaskSpec {
  readonly containerSpec: ContainerSpec;
  readonly resources?: { readonly limits?: Resources; readonly reservations?: Resources };
  readonly restartPolicy?: RestartPolicy;
  readonly placement?: Placement;
  readonly networks?: readonly NetworkAttachmentConfig[];
  readonly logDriver?: { readonly name?: string; readonly options?: Labels };
  /** Counted up by `service update --force`. */
  readonly forceUpdate: number;
  readonly runtime?: string;
}

/** Durations in nanoseconds. Absent fields have Docker's defaults. */
export interface UpdateConfig {
  readonly parallelism: number;
  readonly delay?: number;
  readonly failureAction?: "pause" | "continue" | "rollback";
  readonly monitor?: number;
  readonly maxFailureRatio?: number;
  readonly order?: "stop-first" | "start-first";
}

/** Exactly one of the fields is there. */
export interface ServiceMode {
  readonly replicated?: { readonly replicas: number };
  readonly global?: Readonly<Record<string, never>>;
  readonly replicatedJob?: {
    /** So many at once; a writer who says nothing says 1. */
    readonly maxConcurrent?: number;
    /** So many in all; as many as at once when nothing is said. */
    readonly totalCompletions?: number;
  };
  readonly globalJob?: Readonly<Record<string, never>>;
}

/** Of a service in a job mode; written by the API with its spec. */
export interface JobStatus {
  /** Counted up with every change of the service: in each iteration all of it runs again. */
  readonly jobIteration: number;
  readonly lastExecution: string;
}

export function isJob({ mode }: Pick<ServiceSpec, "mode">): boolean {
  return mode.replicatedJob !== undefined || mode.globalJob !== undefined;
}

export interface ServiceSpec {
  readonly name: string;
  readonly labels: Labels;
  readonly taskTemplate: TaskSpec;
  readonly mode: ServiceMode;
  readonly updateConfig?: UpdateConfig;
  readonly rollbackConfig?: UpdateConfig;
  readonly networks?: readonly NetworkAttachmentConfig[];
  readonly endpointSpec?: EndpointSpec;
}

export interface VirtualIP {
  readonly networkID: NetworkID;
  /** With prefix length, as "10.255.0.7/16". */
  readonly addr: string;
}

/** What the allocator made of `spec.endpointSpec`. */
export interface Endpoint {
  readonly spec: EndpointSpec;
  readonly ports: readonly PortConfig[];
  readonly virtualIPs: readonly VirtualIP[];
}

export const UPDATE_STATES = [
  "updating",
  "paused",
  "completed",
  "rollback_started",
  "rollback_paused",
  "rollback_completed",
] as const;

export interface UpdateStatus {
  readonly state: (typeof UPDATE_STATES)[number];
  readonly startedAt?: string;
  readonly completedAt?: string;
  readonly message: string;
  /** The updater's own tally of replacements that failed while it watched; never shown to users. */
  readonly failedTasks?: readonly TaskID[];
}

export interface Service extends ObjectMeta {
  readonly id: ServiceID;
  /** Written by the API; by the updater in an automatic rollback. */
  readonly spec: ServiceSpec;
  readonly previousSpec?: ServiceSpec;
  /** Store index at the last change of `spec`; written with it. Tasks carry the one they were made from. */
  readonly specVersion: Version;
  /** Written by the API. */
  readonly jobStatus?: JobStatus;
  /** Written by the allocator. */
  readonly endpoint?: Endpoint;
  /** Written by the updater. */
  readonly updateStatus?: UpdateStatus;
  /**
   * The user's registry credentials as the CLI sent them (X-Registry-Auth). They go to the agents that
   * pull the image, never out of the API and never into a log.
   */
  readonly registryAuth?: string;
}
