/**
 * What the Engine API needs of the node behind it. The composition root implements it; on a node that is
 * no manager `manager()` is undefined and the manager paths answer Docker's own refusal.
 */

import type { GossipReport } from "../agent/gossip-report.ts";
import type { RootChange, RotationPlan } from "../ca/root-rotation.ts";
import type { ClusterSpec, Network, NodeAvailability, NodeRole } from "../cluster/objects.ts";
import type { Store } from "../cluster/store.ts";
import type { TraceQuestion } from "../datapath/host-trace.ts";
import type {
  AttachmentPlace,
  AttachmentRequest,
  LogSubscription,
  MeshSurvey,
  NodeTrace,
  TaskLogMessage,
} from "../dispatcher/assignment.ts";

export type LocalNodeState = "inactive" | "pending" | "active" | "error" | "locked";

/** The node's own part of `docker info`'s Swarm section. */
export interface LocalNodeStatus {
  readonly state: LocalNodeState;
  readonly nodeID: string;
  readonly nodeAddr: string;
  readonly controlAvailable: boolean;
  readonly error: string;
  readonly remoteManagers: readonly { readonly nodeID: string; readonly addr: string }[];
}

export interface InitRequest {
  readonly listenAddr: string;
  /** Address or interface name, with or without a port; empty to find it. */
  readonly advertiseAddr: string;
  readonly dataPathAddr: string;
  readonly dataPathPort: number;
  readonly defaultAddrPool: readonly string[];
  readonly subnetSize: number;
  readonly forceNewCluster: boolean;
  readonly availability: NodeAvailability;
  readonly spec: ClusterSpec;
}

export interface JoinRequest {
  readonly listenAddr: string;
  readonly advertiseAddr: string;
  readonly dataPathAddr: string;
  readonly remoteAddrs: readonly string[];
  readonly joinToken: string;
  readonly availability: NodeAvailability;
}

/** What only a manager has. */
export interface ManagerBackend {
  readonly store: Store;
  rotateJoinToken(role: NodeRole): Promise<void>;
  /** Hands `write` the rotation that a change of the root leaves the cluster in; one change at a time. */
  changeRoot(asked: RootChange, write: (plan: RotationPlan) => Promise<void>): Promise<void>;
  /** Lines of the tasks, from whichever nodes run them, until the signal. */
  logs(subscription: LogSubscription, signal: AbortSignal): AsyncIterable<TaskLogMessage>;
  /** CIDRs that this manager's host has routes to, now. */
  hostRoutes(): readonly string[];
  /** What nodes' kernels hold of the mesh now, beside what they should. */
  surveyMesh(): Promise<MeshSurvey>;
  /** What a node's kernel does with a packet. */
  traceOn(nodeID: string, packet: TraceQuestion): Promise<NodeTrace>;
  /** Makes a new key for the gossip; rejects with ConflictError while the last one still spreads. */
  rotateGossipKey(): Promise<void>;
}

export interface NodeBackend {
  status(): LocalNodeStatus;
  /** Makes a cluster with this node as its manager; resolves with the node's id. */
  init(request: InitRequest): Promise<string>;
  join(request: JoinRequest): Promise<void>;
  leave(force: boolean): Promise<void>;
  manager(): ManagerBackend | undefined;
  /** A place for a container of this node in one of the cluster's networks, which the Engine has then. */
  attach(request: AttachmentRequest): Promise<AttachmentPlace>;
  /** The container is there, or will never be; with "" some container has left a network. */
  settle(attachmentID: string): void;
  /** What the Engine calls a network of the cluster; undefined where it is none, or not on this node. */
  localNetwork(reference: string): string | undefined;
  /** The cluster's networks as far as this node knows them: on a manager all, else those that it takes part in. */
  networks(): readonly Network[];
  /** How this node's gossip stands; undefined on a node of no cluster. */
  gossip(): GossipReport | undefined;
}
