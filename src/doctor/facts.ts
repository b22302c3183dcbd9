/** What the doctor knows of a host: read and tried by probe.ts, judged by checks.ts. */

export const KERNEL_FEATURES = ["nftables", "fib", "zones", "egress", "vxlan"] as const;
/** What Weft does without, at a price. */
export const KERNEL_EXTRAS = ["forwarding at ingress"] as const;
export type KernelFeature = (typeof KERNEL_FEATURES)[number] | (typeof KERNEL_EXTRAS)[number];

export interface EngineFacts {
  readonly version: string;
  /** Of its own swarm mode, which must be off. */
  readonly swarm: string;
}

export interface MemberFacts {
  /** As `docker info` has it: active, inactive, pending, error. */
  readonly state: string;
  readonly isManager: boolean;
  readonly error: string;
  /** As "192.168.99.100:2377". */
  readonly managers: readonly string[];
}

export interface PortFacts {
  readonly port: string;
  readonly reason: string;
}

export interface ManagerFacts {
  readonly addr: string;
  /** Why it could not be reached; absent when it answered. */
  readonly error?: string;
  /** Its clock less this host's, in milliseconds. */
  readonly skewMs?: number;
}

/** Of a member's gossip, as its own daemon tells it. */
export interface GossipFacts {
  /** Why it does not gossip; empty when it does. */
  readonly fault: string;
  readonly ailments: readonly { readonly kind: string; readonly host: string }[];
}

/** A node as the managers see it. */
export interface NodeFacts {
  readonly hostname: string;
  readonly state: string;
  /** What is wrong with it; empty when it is well. */
  readonly message: string;
}

export interface PeerFacts {
  readonly underlay: string;
  readonly overlay: string;
  /** Whether packets came back: as large as the uplink takes them, on the underlay; small and full-size ones through the tunnel. */
  readonly underlayFull: boolean;
  readonly underlaySmall: boolean;
  readonly small: boolean;
  readonly full: boolean;
}

/** Of a node whose kernel has the mesh. */
export interface MeshFacts {
  /** Of each family that the mesh has here, as far as the kernel tells: it has them where tasks are. */
  readonly subnets: readonly string[];
  readonly local: string;
  readonly tunnelMTU: number;
  /** Undefined when no link of the host has the address that peers know it by. */
  readonly uplinkMTU: number | undefined;
  readonly tunnelUp: boolean;
  readonly tables: readonly string[];
  /** Published ports that are bound to addresses of which this host has none, as "8080/tcp". */
  readonly placeless: readonly string[];
  readonly peers: readonly PeerFacts[];
}

export interface HostFacts {
  readonly isRoot: boolean;
  readonly release: string;
  /** What the kernel could not do when tried in a network namespace of its own, with what it said. */
  readonly lacks: ReadonlyMap<KernelFeature, string>;
  readonly missingTools: readonly string[];
  readonly canPing: boolean;
  /** Whether something keeps the host's clock right, as systemd says it; undefined where nobody knows. */
  readonly isClockKept: boolean | undefined;
  readonly forwarding: boolean;
  readonly hasDefaultRoute: boolean;
  readonly hostRoutes: readonly string[];
  /** Ports that some process has, as "2377/tcp". */
  readonly takenPorts: readonly string[];
  /** Undefined when it does not answer. */
  readonly engine: EngineFacts | undefined;
  /** Undefined when no daemon answers. */
  readonly member: MemberFacts | undefined;
  /** Undefined when no keeper answers; else the published ports that it could not bind. */
  readonly busyPorts: readonly PortFacts[] | undefined;
  readonly managers: readonly ManagerFacts[];
  /** The cluster's nodes, on a manager. */
  readonly nodes: readonly NodeFacts[];
  readonly mesh: MeshFacts | undefined;
  /** Undefined on a host that is part of no cluster. */
  readonly gossip: GossipFacts | undefined;
  /** What firewalls lack, in plain words. */
  readonly firewallLacks: readonly string[];
  readonly firewallProblems: readonly string[];
}
