/**
 * The cluster's objects, as the store holds them. Fields are Docker's, spelled as in its JSON with the
 * first letter lowered (`NodeID` is `nodeID`), so that code, wire and docs grep alike. Durations are
 * nanoseconds where Docker's JSON has them; times are RFC 3339 strings.
 *
 * Every field has one writer; docs/ARCHITECTURE.md has the table. Objects are never changed in place:
 * a new version is put through a store transaction.
 */
import type {
  AttachmentID,
  ClusterID,
  ConfigID,
  NetworkID,
  NodeID,
  SecretID,
  ServiceID,
  TaskID,
} from "../base/ids.ts";

/** `index` is the store's own counter at the object's last write; the API refuses writes that name an older one. */
export interface Version {
  readonly index: number;
}

/** What every object carries. The store sets `version` and `updatedAt` at each write, `createdAt` at the first. */
export interface ObjectMeta {
  readonly version: Version;
  readonly createdAt: string;
  readonly updatedAt: string;
}

export type Labels = Readonly<Record<string, string>>;

// ---- Cluster ---------------------------------------------------------------------------------

export interface ClusterSpec {
  readonly name: string;
  readonly labels: Labels;
  readonly orchestration: { readonly taskHistoryRetentionLimit: number };
  readonly raft: {
    readonly snapshotInterval: number;
    readonly keepOldSnapshots: number;
    readonly logEntriesForSlowFollowers: number;
    readonly electionTick: number;
    readonly heartbeatTick: number;
  };
  /** Nanoseconds. */
  readonly dispatcher: { readonly heartbeatPeriod: number };
  readonly caConfig: {
    /** Nanoseconds. */
    readonly nodeCertExpiry: number;
    /** Counted up by `swarm ca --rotate`: another number asks for another root. */
    readonly forceRotate?: number;
  };
  readonly taskDefaults: Readonly<Record<string, unknown>>;
  readonly encryptionConfig: { readonly autoLockManagers: boolean };
}

/** PEM; the private key is beside that of the present root. */
export interface RootRotation {
  readonly certificate: string;
  /** The new root's name and key under the present root's signature: what the new one signs is believed by both sides. */
  readonly crossSigned: string;
}

export interface Cluster extends ObjectMeta {
  readonly id: ClusterID;
  readonly spec: ClusterSpec;
  /** PEM. The private key is never part of this object; it lives in the store's secret box. */
  readonly rootCACertificate: string;
  /** The root that every node's certificate is to come from before the one above is forgotten. */
  readonly rootRotation?: RootRotation;
  /** The whole tokens, `SWMTKN-1-…`. */
  readonly joinTokens: { readonly worker: string; readonly manager: string };
  /** CIDRs that overlay subnets are taken from. */
  readonly defaultAddrPool: readonly string[];
  readonly subnetSize: number;
  /** UDP port of the VXLAN tunnel, 4789 unless told. */
  readonly dataPathPort: number;
}

// ---- Node ------------------------------------------------------------------------------------

export const NODE_AVAILABILITIES = ["active", "pause", "drain"] as const;
export type NodeAvailability = (typeof NODE_AVAILABILITIES)[number];
export type NodeState = "unknown" | "down" | "ready" | "disconnected";
export type NodeRole = "worker" | "manager";

export interface NodeSpec {
  readonly name?: string;
  readonly labels: Labels;
  readonly role: NodeRole;
  readonly availability: NodeAvailability;
}

export interface Resources {
  readonly nanoCPUs?: number;
  readonly memoryBytes?: number;
  readonly pids?: number;
}

/** Whom a node trusts, and who signed its certificate. */
export interface TLSInfo {
  /** PEM, one certificate after the other. */
  readonly trustRoot: string;
  /** DER in base64. */
  readonly certIssuerSubject: string;
  readonly certIssuerPublicKey: string;
}

/** What a node says of itself when its session begins, and again when it changes. */
export interface NodeDescription {
  readonly hostname: string;
  readonly platform: { readonly architecture: string; readonly os: string };
  readonly resources: Resources;
  readonly engine: {
    readonly engineVersion: string;
    readonly labels: Labels;
    readonly plugins: readonly { readonly type: string; readonly name: string }[];
  };
  /** Every address of the host but loopback's, IPv6's link-local and Weft's own ones, so that the mesh knows members as clients. */
  readonly addresses: readonly string[];
  /** Which interface has which of them, so that names lead to ports that are answered at one by its name. */
  readonly interfaces?: readonly { readonly name: string; readonly addresses: readonly string[] }[];
  /** Networks of its addresses, and interfaces, at which it answers ports whose service does not say; all when absent. */
  readonly publishDefault?: readonly string[];
  readonly tlsInfo?: TLSInfo;
  /** Why the node can run nothing, in plain words: its runtime is away. To the cluster it is down then. */
  readonly runtimeProblem?: string;
}

/** A published port that a node does not answer, in plain words: it could not bind it, or lacks the interface for it. */
export interface PortProblem {
  readonly protocol: PortProtocol;
  readonly publishedPort: number;
  /** As "address already in use", or "no interface eth1". */
  readonly reason: string;
}

export interface NodeStatus {
  readonly state: NodeState;
  readonly message?: string;
  /** Where its session came from, or its advertised address. */
  readonly addr: string;
  /** Where VXLAN packets to it are sent when it has named another address for them; absent for `addr`. */
  readonly dataPathAddr?: string;
}

export interface Node extends ObjectMeta {
  readonly id: NodeID;
  /** Written by the API. */
  readonly spec: NodeSpec;
  /** Written by the dispatcher from the node's own words. */
  readonly description?: NodeDescription;
  /** Written by the dispatcher. */
  readonly status: NodeStatus;
  /** Written by the dispatcher from the node's reports. */
  readonly portProblems?: readonly PortProblem[];
  /** What is wrong with it on the network, in plain words. Written by the dispatcher from what all nodes report. */
  readonly networkProblems?: readonly string[];
  readonly managerStatus?: {
    readonly leader: boolean;
    readonly reachability: "unknown" | "unreachable" | "reachable";
    readonly addr: string;
  };
  /** The node's number in the mesh, 1 to 16383: conntrack zone and mark of what came in through it. Written by the allocator. */
  readonly index?: number;
  /** The node's own address in the ingress network, without prefix length. Written by the allocator. */
  readonly ingressAddress?: string;
}

// ---- Service ---------------------------------------------------------------------------------

export const PORT_PROTOCOLS = ["tcp", "udp", "sctp"] as const;
export type PortProtocol = (typeof PORT_PROTOCOLS)[number];
export type PublishMode = "ingress" | "host";

export interface PortConfig {
  readonly name?: string;
  readonly protocol: PortProtocol;
  readonly targetPort: number;
  /** Absent in a spec where the user asked for none; in `endpoint.ports` the allocator has filled it in. */
  readonly publishedPort?: number;
  readonly publishMode: PublishMode;
}

export interface EndpointSpec {
  readonly mode: "vip" | "dnsrr";
  readonly ports: readonly PortConfig[];
}

export interface Mount {
  readonly type: "bind" | "volume" | "tmpfs" | "npipe" | "image";
  readonly source?: string;
  readonly target: string;
  readonly readOnly?: boolean;
  readonly consistency?: string;
  readonly bindOptions?: Readonly<Record<string, unknown>>;
  readonly volumeOptions?: Readonly<Record<string, unknown>>;
  readonly tmpfsOptions?: Readonly<Record<string, unknown>>;
}

/** Durations in nanoseconds. */
export interface HealthConfig {
  readonly test?: readonly string[];
  readonly interval?: number;
  readonly timeout?: number;
  readonly retries?: number;
  readonly startPeriod?: number;
  readonly startInterval?: number;
}

export interface Ulimit {
  readonly name: string;
  readonly soft: number;
  readonly hard: number;
}

export interface DNSConfig {
  readonly nameservers?: readonly string[];
  readonly search?: readonly string[];
  readonly options?: readonly string[];
}

/** Where in a container a secret or config is put, and whose it is there. */
export interface FileTarget {
  /** A path; a relative one is below /run/secrets for a secret, below / for a config. */
  readonly name: string;
  /** Numbers, as text. */
  readonly uid: string;
  readonly gid: string;
  /** Permission bits. */
  readonly mode: number;
}

export interface SecretReference {
  readonly secretID: SecretID;
  readonly secretName: string;
  readonly file?: FileTarget;
}

export interface ConfigReference {
  readonly configID: ConfigID;
  readonly configName: string;
  readonly file?: FileTarget;
}

export interface ContainerSpec {
  readonly image: string;
  readonly labels?: Labels;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly hostname?: string;
  readonly env?: readonly string[];
  readonly dir?: string;
  readonly user?: string;
  readonly groups?: readonly string[];
  readonly stopSignal?: string;
  readonly tty?: boolean;
  readonly openStdin?: boolean;
  readonly readOnly?: boolean;
  readonly mounts?: readonly Mount[];
  readonly secrets?: readonly SecretReference[];
  readonly configs?: readonly ConfigReference[];
  /** Nanoseconds; 10 s when absent. */
  readonly stopGracePeriod?: number;
  readonly healthcheck?: HealthConfig;
  readonly hosts?: readonly string[];
  readonly dnsConfig?: DNSConfig;
  readonly init?: boolean;
  readonly isolation?: string;
  readonly sysctls?: Labels;
  readonly capabilityAdd?: readonly string[];
  readonly capabilityDrop?: readonly string[];
  readonly ulimits?: readonly Ulimit[];
  readonly privileges?: Privileges;
  /** -1000 to 1000; 0 when absent. */
  readonly oomScoreAdj?: number;
}

/** Security options of a container; what is absent is as the runtime has it by default. */
export interface Privileges {
  readonly seLinuxContext?: {
    readonly disable?: boolean;
    readonly user?: string;
    readonly role?: string;
    readonly type?: string;
    readonly level?: string;
  };
  readonly seccomp?: {
    readonly mode?: "default" | "unconfined" | "custom";
    /** JSON in base64, with mode custom. */
    readonly profile?: string;
  };
  readonly appArmor?: { readonly mode?: "default" | "disabled" };
  readonly noNewPrivileges?: boolean;
}

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

// ---- Task ------------------------------------------------------------------------------------

/** In order: a task's state only moves to the right (SwarmKit: design/task_model.md). `remove` is only ever desired. */
export const TASK_STATES = [
  "new",
  "pending",
  "assigned",
  "accepted",
  "preparing",
  "ready",
  "starting",
  "running",
  "complete",
  "shutdown",
  "failed",
  "rejected",
  "remove",
  "orphaned",
] as const;
export type TaskState = (typeof TASK_STATES)[number];

export function isTaskStateAtLeast(state: TaskState, bound: TaskState): boolean {
  return TASK_STATES.indexOf(state) >= TASK_STATES.indexOf(bound);
}

/** Whether the task has ended: it will never run again. */
export function isTerminal(state: TaskState): boolean {
  return isTaskStateAtLeast(state, "complete");
}

export interface ContainerStatus {
  readonly containerID?: string;
  readonly pid?: number;
  readonly exitCode?: number;
}

export interface TaskStatus {
  readonly timestamp: string;
  readonly state: TaskState;
  /** Docker's words: "started", "preparing", "pending task scheduling", … */
  readonly message: string;
  readonly err?: string;
  readonly containerStatus?: ContainerStatus;
  /** Host-mode ports as the node really published them. */
  readonly portStatus?: { readonly ports: readonly PortConfig[] };
  /** Its health check fails while it runs: no new connection is to be led to it, and it is about to be stopped. */
  readonly unhealthy?: true;
  /** Target ports that it serves over IPv6 too, as "tcp/80"; IPv6 clients of others are relayed to IPv4. */
  readonly ipv6Ports?: readonly string[];
}

export interface NetworkAttachment {
  /** `overlay`: a user's own, which tasks are bridged into; the ingress network has packets routed to them. */
  readonly network: { readonly id: NetworkID; readonly name: string; readonly overlay?: true };
  /** With prefix length, as "10.255.0.9/16". */
  readonly addresses: readonly string[];
}

/** The orchestrator's own notes on a task, so that delays and attempts outlive the daemon; never shown to users. */
export interface Orchestration {
  /** What it was made for: to replace a task of an older spec, or one that ended or lost its node. */
  readonly origin: "update" | "restart";
  /** Its desired state stays `ready` until then. */
  readonly notBefore?: string;
  /** When its slot was restarted under this spec, itself included; kept only where the policy limits attempts. */
  readonly restarts?: readonly string[];
  /** When a replacement made by an update was first seen running. */
  readonly runningAt?: string;
}

export interface Task extends ObjectMeta {
  readonly id: TaskID;
  readonly serviceID: ServiceID;
  /** 1, 2, … in a replicated service; absent in a global one, whose slot is the node. */
  readonly slot?: number;
  /** Written by the scheduler; by the orchestrator when it makes a task of a global service. */
  readonly nodeID?: NodeID;
  readonly spec: TaskSpec;
  /** The service's `specVersion` that it was made from. */
  readonly specVersion: Version;
  /** The iteration of the job that it was made in; absent in other services. */
  readonly jobIteration?: number;
  /** The service's name and labels when the task was made, so that a task can be read without its service. */
  readonly serviceAnnotations: { readonly name: string; readonly labels: Labels };
  /** Written by the orchestrator. */
  readonly desiredState: TaskState;
  /** Written by the orchestrator. */
  readonly orchestration?: Orchestration;
  /** Up to `assigned` written by allocator and scheduler; from then on by the agent, through the dispatcher. */
  readonly status: TaskStatus;
  /** A copy of the service's endpoint, written by the allocator. */
  readonly endpoint?: Endpoint;
  /** Written by the allocator. */
  readonly networksAttachments: readonly NetworkAttachment[];
}

// ---- Network ---------------------------------------------------------------------------------

export interface IPAMConfig {
  readonly subnet: string;
  readonly ipRange?: string;
  readonly gateway?: string;
}

export interface NetworkSpec {
  readonly name: string;
  readonly labels: Labels;
  readonly driver: string;
  readonly driverOptions: Labels;
  readonly internal: boolean;
  readonly attachable: boolean;
  readonly ingress: boolean;
  readonly ipv6Enabled: boolean;
}

export interface Network extends ObjectMeta {
  readonly id: NetworkID;
  readonly spec: NetworkSpec;
  readonly ipam: { readonly driver: string; readonly config: readonly IPAMConfig[] };
  /** VXLAN network identifier; 4096 is the ingress network's. */
  readonly vni: number;
}

/** A place in a network for a container that a user runs himself, on the node where he asked for it. */
export interface Attachment extends ObjectMeta {
  readonly id: AttachmentID;
  /** Written by the dispatcher, for the node that asks. */
  readonly networkID: NetworkID;
  readonly nodeID: NodeID;
  readonly containerName: string;
  readonly aliases: readonly string[];
  /** An IPv4 address that the user asked for. */
  readonly wanted?: string;
  /** With prefix lengths, IPv4 first; empty until given. Written by the allocator. */
  readonly addresses: readonly string[];
  /** Why none can be given. Written by the allocator. */
  readonly err?: string;
}

// ---- Secrets and configs ---------------------------------------------------------------------

/** What a user stored under a name, for tasks to read as a file. It never changes; only its labels do. */
export interface PayloadSpec {
  readonly name: string;
  readonly labels: Labels;
  /** Base64. */
  readonly data: string;
}

/** Its data leaves the managers only for nodes whose tasks need it, and never by the API. */
export interface Secret extends ObjectMeta {
  readonly id: SecretID;
  readonly spec: PayloadSpec;
}

export interface Config extends ObjectMeta {
  readonly id: ConfigID;
  readonly spec: PayloadSpec;
}
