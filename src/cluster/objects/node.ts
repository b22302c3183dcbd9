/** A member: what is wanted of it, what it says of itself, and how it is. */
import type { NodeID } from "../../base/ids.ts";
import type { Labels, ObjectMeta } from "./meta.ts";
import type { PortProtocol } from "./ports.ts";

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
