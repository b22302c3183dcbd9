/** The cluster as Docker's JSON has it (api/types/swarm/swarm.go). */
import { DEFAULT_CLUSTER_SPEC } from "../../cluster/initial-objects.ts";
import type { Cluster, ClusterSpec } from "../../cluster/objects.ts";
import { encodeMeta } from "./meta.ts";
import {
  type Codec,
  duration,
  flag,
  int,
  int64,
  labels,
  optional,
  required,
  requiredNonZero,
  struct,
  text,
  uint64,
  unlessEmpty,
} from "./schema.ts";
import { encodeTlsInfo } from "./trust-root.ts";

const taskDefaults = struct<{ logDriver?: { name?: string; options?: Record<string, string> } }>(
  "swarm.TaskDefaults",
  {
    logDriver: optional(
      "LogDriver",
      struct<{ name?: string; options?: Record<string, string> }>("swarm.Driver", {
        name: unlessEmpty("Name", text),
        options: unlessEmpty("Options", labels),
      }),
    ),
  },
);

const orchestration = struct<ClusterSpec["orchestration"]>("swarm.OrchestrationConfig", {
  taskHistoryRetentionLimit: required(
    "TaskHistoryRetentionLimit",
    int64,
    DEFAULT_CLUSTER_SPEC.orchestration.taskHistoryRetentionLimit,
  ),
});

/** What says nothing gets its default one by one, as a manager of Docker's fills in. */
const raft = struct<ClusterSpec["raft"]>("swarm.RaftConfig", {
  snapshotInterval: requiredNonZero(
    "SnapshotInterval",
    uint64,
    DEFAULT_CLUSTER_SPEC.raft.snapshotInterval,
  ),
  keepOldSnapshots: required("KeepOldSnapshots", uint64, 0),
  logEntriesForSlowFollowers: requiredNonZero(
    "LogEntriesForSlowFollowers",
    uint64,
    DEFAULT_CLUSTER_SPEC.raft.logEntriesForSlowFollowers,
  ),
  electionTick: requiredNonZero("ElectionTick", int, DEFAULT_CLUSTER_SPEC.raft.electionTick),
  heartbeatTick: requiredNonZero("HeartbeatTick", int, DEFAULT_CLUSTER_SPEC.raft.heartbeatTick),
});

const dispatcher = struct<ClusterSpec["dispatcher"]>("swarm.DispatcherConfig", {
  heartbeatPeriod: requiredNonZero(
    "HeartbeatPeriod",
    duration,
    DEFAULT_CLUSTER_SPEC.dispatcher.heartbeatPeriod,
  ),
});

/** A root of the user's own, in PEM: taken, and never shown or kept in a spec. */
export interface SigningMaterial {
  readonly signingCACert?: string;
  readonly signingCAKey?: string;
}

const caConfig = struct<ClusterSpec["caConfig"] & SigningMaterial>(
  "swarm.CAConfig",
  {
    nodeCertExpiry: requiredNonZero(
      "NodeCertExpiry",
      duration,
      DEFAULT_CLUSTER_SPEC.caConfig.nodeCertExpiry,
    ),
    signingCACert: unlessEmpty("SigningCACert", text),
    signingCAKey: unlessEmpty("SigningCAKey", text),
    forceRotate: unlessEmpty("ForceRotate", uint64),
  },
  {
    refused: {
      ExternalCAs:
        "external certificate authorities are not supported by Weft: hand its managers a key with docker swarm ca --rotate --ca-cert … --ca-key …",
    },
  },
);

const encryptionConfig = struct<ClusterSpec["encryptionConfig"]>("swarm.EncryptionConfig", {
  autoLockManagers: required("AutoLockManagers", flag, false),
});

/** Decoded it may hold a root of the user's own, which `separateSigningMaterial` takes out. */
export const clusterSpec: Codec<ClusterSpec> = struct<ClusterSpec>("swarm.Spec", {
  name: required("Name", text, DEFAULT_CLUSTER_SPEC.name),
  labels: required("Labels", labels, {}),
  orchestration: required("Orchestration", orchestration, DEFAULT_CLUSTER_SPEC.orchestration),
  raft: required("Raft", raft, DEFAULT_CLUSTER_SPEC.raft),
  dispatcher: required("Dispatcher", dispatcher, DEFAULT_CLUSTER_SPEC.dispatcher),
  caConfig: required("CAConfig", caConfig, DEFAULT_CLUSTER_SPEC.caConfig),
  taskDefaults: required("TaskDefaults", taskDefaults as Codec<ClusterSpec["taskDefaults"]>, {}),
  encryptionConfig: required(
    "EncryptionConfig",
    encryptionConfig,
    DEFAULT_CLUSTER_SPEC.encryptionConfig,
  ),
});

/** What of a spec may be kept, and what is the managers' alone. */
export function separateSigningMaterial(spec: ClusterSpec): {
  readonly spec: ClusterSpec;
  readonly material: SigningMaterial;
} {
  const { signingCACert, signingCAKey, ...kept } = spec.caConfig as ClusterSpec["caConfig"] &
    SigningMaterial;
  const material = {
    ...(signingCACert === undefined ? {} : { signingCACert }),
    ...(signingCAKey === undefined ? {} : { signingCAKey }),
  };
  return { spec: { ...spec, caConfig: kept }, material };
}

/** The cluster without its join tokens, as `/info` shows it. */
export function encodeCluster(cluster: Cluster) {
  return {
    ...encodeMeta(cluster),
    Spec: clusterSpec.encode(cluster.spec),
    TLSInfo: encodeTlsInfo(cluster.rootCACertificate, cluster.rootRotation?.certificate),
    RootRotationInProgress: cluster.rootRotation !== undefined,
    DefaultAddrPool: cluster.defaultAddrPool,
    SubnetSize: cluster.subnetSize,
    DataPathPort: cluster.dataPathPort,
  };
}
