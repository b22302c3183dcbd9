/** A task: one container of a service on one node, and how far it is. */
import type { NetworkID, NodeID, ServiceID, TaskID } from "../../base/ids.ts";
import type { Labels, ObjectMeta, Version } from "./meta.ts";
import type { PortConfig } from "./ports.ts";
import type { Endpoint, TaskSpec } from "./service.ts";

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
