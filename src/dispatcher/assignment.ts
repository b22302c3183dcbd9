/**
 * What a manager tells a node, and what the node tells back: the meaning of the messages in weft.proto,
 * free of their encoding. The dispatcher makes these from store snapshots; the agent lives by them.
 */
import type {
  NodeDescription,
  NodeRole,
  PortProblem,
  Task,
  TaskState,
  TaskStatus,
} from "../cluster/objects.ts";
import type { HostTrace, TraceQuestion } from "../datapath/host-trace.ts";
import type { KernelMesh } from "../datapath/inspect.ts";
import type { OverlayNetwork } from "../datapath/overlay/view.ts";
import type { MeshEndpoint, MeshNode, MeshService } from "../datapath/view.ts";

/** A task that this node must run, or must end. */
export interface TaskAssignment {
  /**
   * The store's task, but `desiredState` is what the agent may do now: a task that has to stop keeps its
   * old one until every reachable node has confirmed that it sends no new connection there.
   */
  readonly task: Task;
  readonly registryAuth?: string;
}

/** What the node's tasks read as files, by id of secret or config: held in memory, never in a file of the agent's. */
export interface Payloads {
  readonly secrets: ReadonlyMap<string, Uint8Array>;
  readonly configs: ReadonlyMap<string, Uint8Array>;
}

export const NO_PAYLOADS: Payloads = { secrets: new Map(), configs: new Map() };

/** The mesh as managers' state has it: the only authority on which endpoints exist and where. */
export interface MeshConfig {
  /** The endpoint revision: the store's at the last change of anything in here. Confirmed once the kernel has it. */
  readonly revision: number;
  /** The ingress network; absent until it is made. */
  readonly network?: {
    readonly name: string;
    readonly subnet: string;
    /** Absent where the mesh has no IPv6. */
    readonly subnet6?: string;
    /** Of the tunnel and the tasks' links, where it is to be less than the uplinks allow. */
    readonly mtu?: number;
    readonly vni: number;
    readonly dataPathPort: number;
  };
  /** All members that have an index and an address, this node among them. */
  readonly nodes: readonly MeshNode[];
  readonly services: readonly ToldService[];
  /** Users' overlay networks that this node takes part in; as managers keep the mesh, all of them. */
  readonly networks: readonly OverlayNetwork[];
}

/** An endpoint as managers know it, from when its task was given to a node until it has ended. */
export interface ToldEndpoint extends Omit<MeshEndpoint, "state"> {
  /** Starting: where it is going to be. Its node says when it is ready, and until then it is no part of any kernel's mesh. */
  readonly state: MeshEndpoint["state"] | "starting";
}

/** A service with all its endpoints, those that start too. */
export interface ToldService extends Omit<MeshService, "endpoints"> {
  readonly endpoints: readonly ToldEndpoint[];
}

/** The mesh as it should be, and each node's kernel as it is; who is missing has not answered. */
export interface MeshSurvey {
  readonly mesh: MeshConfig;
  readonly kernels: ReadonlyMap<string, KernelMesh>;
}

/** What becomes of a packet on one node. */
export interface NodeTrace {
  /** Absent when the node has no session, or has not answered in time. */
  readonly trace?: HostTrace;
  /** The endpoint revision that the managers have told. */
  readonly revision: number;
}

export const PEER_PROBLEM_KINDS = [
  ...(["silent", "udp", "tcp", "key", "name"] as const),
  ...(["tunnel", "oneway", "mtu", "checksum"] as const),
] as const;
export type PeerProblemKind = (typeof PEER_PROBLEM_KINDS)[number];

/** Something between a node and another, as the first sees it. */
export interface PeerProblem {
  /** `silent`: it does not gossip itself. The others as in src/gossip/ailments.ts and the tunnel's watch. */
  readonly kind: PeerProblemKind;
  readonly peer: string;
  /** Of `silent` the reason, of `name` the other host's address. */
  readonly detail?: string;
}

/** How a node answers: one status per task, newest wins. */
export interface TaskStatusUpdate {
  readonly taskID: string;
  readonly status: TaskStatus;
}

/** Of one report: a node with more to say says it in several, and one that does not has its session ended. */
export const STATUSES_PER_REPORT_MAX = 1_000;

/** Which lines of which tasks somebody reads. */
export interface LogSubscription {
  readonly id: string;
  readonly taskIDs: readonly string[];
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly follow: boolean;
  readonly tail?: number;
  readonly since?: string;
  readonly until?: string;
}

export interface TaskLogMessage {
  readonly taskID: string;
  readonly nodeID: string;
  readonly stream: "stdout" | "stderr";
  /** RFC 3339 with nanoseconds, as the runtime stamped it. */
  readonly timestamp: string;
  /** One line with its newline, or what a TTY wrote. */
  readonly data: Uint8Array;
}

/** What the agent gives its session: called by the session, in order, never after `stop`. */
export interface SessionHandler {
  /** The whole set of this node's tasks, and of what they read, after each change. */
  onTasks(assignments: readonly TaskAssignment[], payloads: Payloads): void;
  /** The whole mesh, after each change. */
  onMesh(mesh: MeshConfig): void;
  /** Lines for one reader; ends when all is said or the signal says that nobody reads any more. */
  onLogs(subscription: LogSubscription, signal: AbortSignal): AsyncIterable<TaskLogMessage>;
  /** What this node's kernel holds of the mesh, read back now. */
  onInspect(): Promise<KernelMesh>;
  /** What this node's kernel does with a packet. */
  onTrace(packet: TraceQuestion): Promise<HostTrace>;
  /** The cluster no longer knows this node, or gave it another role. */
  onRemoved(reason: string): void;
  onRole(role: NodeRole): void;
}

/** The agent's hand on its session. Every report is kept until a manager has acknowledged it, over reconnects too. */
export interface SessionReporter {
  reportStatus(update: TaskStatusUpdate): void;
  /** The endpoint revision that this node's kernel has applied. */
  reportApplied(revision: number): void;
  reportPortProblems(problems: readonly PortProblem[]): void;
  reportDescription(description: NodeDescription): void;
}

/** A container of a user's own that is to be in one of the cluster's networks. */
export interface AttachmentRequest {
  /** Name, id or beginning of an id. */
  readonly network: string;
  readonly containerName: string;
  readonly aliases: readonly string[];
  /** IPv4; any when absent. */
  readonly address?: string;
}

/** What it was given. */
export interface AttachmentPlace {
  readonly attachmentID: string;
  readonly networkID: string;
  readonly networkName: string;
  /** Without prefix length, IPv4 first. */
  readonly addresses: readonly string[];
}

/** Where a node asks its managers for such places. */
export interface AttachmentDesk {
  /** Resolves when this node knows the network too; rejects with the managers' refusal. */
  attach(request: AttachmentRequest): Promise<AttachmentPlace>;
  /** Gives places back. Said again as long as managers tell of them, so that none is lost with a session. */
  detach(attachmentIDs: readonly string[]): void;
}

/** Whether an agent given this desired state has to end the task. */
export function mustStop(desiredState: TaskState): boolean {
  return desiredState === "shutdown" || desiredState === "remove" || desiredState === "complete";
}
