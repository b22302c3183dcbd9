/** The cluster itself: its settings, its root and its tokens. */
import type { ClusterID } from "../../base/ids.ts";
import type { Labels, ObjectMeta } from "./meta.ts";

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
