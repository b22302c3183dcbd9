/** Services and their parts as Docker's JSON has them (api/types/swarm: service.go, task.go, container.go). */
import type {
  ContainerSpec,
  DNSConfig,
  Endpoint,
  EndpointSpec,
  HealthConfig,
  Mount,
  NetworkAttachmentConfig,
  Placement,
  PortConfig,
  Resources,
  RestartPolicy,
  ServiceMode,
  ServiceSpec,
  TaskSpec,
  Ulimit,
  UpdateConfig,
  UpdateStatus,
  VirtualIP,
} from "../../cluster/objects.ts";
import { UPDATE_STATES } from "../../cluster/objects.ts";
import { configReference, secretReference } from "./payload.ts";
import { privileges } from "./privileges.ts";
import {
  type Codec,
  defaulted,
  dictionary,
  duration,
  flag,
  float32,
  int,
  int64,
  labels,
  list,
  omittedWhenEmpty,
  oneOf,
  optional,
  required,
  struct,
  text,
  textOf,
  uint32,
  uint64,
  unlessEmpty,
} from "./schema.ts";

const texts = list(text);

// ---- Endpoints -------------------------------------------------------------------------------

export const portConfig: Codec<PortConfig> = struct<PortConfig>("swarm.PortConfig", {
  name: unlessEmpty("Name", text),
  protocol: required(
    "Protocol",
    oneOf(
      "swarm.PortConfigProtocol",
      ["tcp", "udp", "sctp"],
      (word) => `invalid protocol: "${word}"`,
    ),
    "tcp",
  ),
  targetPort: omittedWhenEmpty("TargetPort", uint32, 0),
  publishedPort: unlessEmpty("PublishedPort", uint32),
  publishMode: required(
    "PublishMode",
    oneOf(
      "swarm.PortConfigPublishMode",
      ["ingress", "host"],
      (word) => `invalid publish mode: "${word}"`,
    ),
    "ingress",
  ),
});

export const endpointSpec: Codec<EndpointSpec> = struct<EndpointSpec>("swarm.EndpointSpec", {
  mode: required(
    "Mode",
    oneOf("swarm.ResolutionMode", ["vip", "dnsrr"], (word) => `invalid resolution mode: "${word}"`),
    "vip",
  ),
  ports: omittedWhenEmpty("Ports", list(portConfig), []),
});

const virtualIP: Codec<VirtualIP> = struct<VirtualIP>("swarm.EndpointVirtualIP", {
  networkID: required(
    "NetworkID",
    text as Codec<VirtualIP["networkID"]>,
    "" as VirtualIP["networkID"],
  ),
  addr: omittedWhenEmpty("Addr", text, ""),
});

export const endpoint: Codec<Endpoint> = struct<Endpoint>("swarm.Endpoint", {
  spec: required("Spec", endpointSpec, { mode: "vip", ports: [] }),
  ports: omittedWhenEmpty("Ports", list(portConfig), []),
  virtualIPs: omittedWhenEmpty("VirtualIPs", list(virtualIP), []),
});

// ---- Containers ------------------------------------------------------------------------------

type Options = Readonly<Record<string, unknown>>;

interface BindOptions {
  readonly propagation?: string;
  readonly nonRecursive?: boolean;
  readonly createMountpoint?: boolean;
  readonly readOnlyNonRecursive?: boolean;
  readonly readOnlyForceRecursive?: boolean;
}
interface VolumeOptions {
  readonly noCopy?: boolean;
  readonly labels?: Readonly<Record<string, string>>;
  readonly subpath?: string;
  readonly driverConfig?: {
    readonly name?: string;
    readonly options?: Readonly<Record<string, string>>;
  };
}
interface TmpfsOptions {
  readonly sizeBytes?: number;
  readonly mode?: number;
  readonly options?: readonly (readonly string[])[];
}

const bindOptions = struct<BindOptions>("mount.BindOptions", {
  propagation: unlessEmpty("Propagation", textOf("mount.Propagation")),
  nonRecursive: unlessEmpty("NonRecursive", flag),
  createMountpoint: unlessEmpty("CreateMountpoint", flag),
  readOnlyNonRecursive: unlessEmpty("ReadOnlyNonRecursive", flag),
  readOnlyForceRecursive: unlessEmpty("ReadOnlyForceRecursive", flag),
});

const volumeOptions = struct<VolumeOptions>("mount.VolumeOptions", {
  noCopy: unlessEmpty("NoCopy", flag),
  labels: unlessEmpty("Labels", labels),
  subpath: unlessEmpty("Subpath", text),
  driverConfig: optional(
    "DriverConfig",
    struct<NonNullable<VolumeOptions["driverConfig"]>>("mount.Driver", {
      name: unlessEmpty("Name", text),
      options: unlessEmpty("Options", labels),
    }),
  ),
});

const tmpfsOptions = struct<TmpfsOptions>("mount.TmpfsOptions", {
  sizeBytes: unlessEmpty("SizeBytes", int64),
  mode: unlessEmpty("Mode", uint32),
  options: unlessEmpty("Options", list(texts)),
});

const mount: Codec<Mount> = struct<Mount>("mount.Mount", {
  type: required(
    "Type",
    oneOf(
      "mount.Type",
      ["bind", "volume", "tmpfs", "npipe", "image"],
      (word) => `invalid MountType: "${word}"`,
    ),
    "bind",
  ),
  source: unlessEmpty("Source", text),
  target: omittedWhenEmpty("Target", text, ""),
  readOnly: unlessEmpty("ReadOnly", flag),
  consistency: unlessEmpty("Consistency", textOf("mount.Consistency")),
  bindOptions: optional("BindOptions", bindOptions as Codec<Options>),
  volumeOptions: optional("VolumeOptions", volumeOptions as Codec<Options>),
  tmpfsOptions: optional("TmpfsOptions", tmpfsOptions as Codec<Options>),
});

const healthConfig: Codec<HealthConfig> = struct<HealthConfig>("container.HealthConfig", {
  test: unlessEmpty("Test", texts),
  interval: unlessEmpty("Interval", duration),
  timeout: unlessEmpty("Timeout", duration),
  startPeriod: unlessEmpty("StartPeriod", duration),
  startInterval: unlessEmpty("StartInterval", duration),
  retries: unlessEmpty("Retries", int),
});

const dnsConfig: Codec<DNSConfig> = struct<DNSConfig>("swarm.DNSConfig", {
  nameservers: unlessEmpty("Nameservers", texts),
  search: unlessEmpty("Search", texts),
  options: unlessEmpty("Options", texts),
});

const ulimit: Codec<Ulimit> = struct<Ulimit>("units.Ulimit", {
  name: required("Name", text, ""),
  hard: required("Hard", int64, 0),
  soft: required("Soft", int64, 0),
});

export const containerSpec: Codec<ContainerSpec> = struct<ContainerSpec>("swarm.ContainerSpec", {
  image: omittedWhenEmpty("Image", text, ""),
  labels: unlessEmpty("Labels", labels),
  command: unlessEmpty("Command", texts),
  args: unlessEmpty("Args", texts),
  hostname: unlessEmpty("Hostname", text),
  env: unlessEmpty("Env", texts),
  dir: unlessEmpty("Dir", text),
  user: unlessEmpty("User", text),
  groups: unlessEmpty("Groups", texts),
  stopSignal: unlessEmpty("StopSignal", text),
  tty: unlessEmpty("TTY", flag),
  openStdin: unlessEmpty("OpenStdin", flag),
  readOnly: unlessEmpty("ReadOnly", flag),
  init: optional("Init", flag),
  mounts: unlessEmpty("Mounts", list(mount)),
  secrets: unlessEmpty("Secrets", list(secretReference)),
  configs: unlessEmpty("Configs", list(configReference)),
  stopGracePeriod: optional("StopGracePeriod", duration),
  healthcheck: optional("Healthcheck", healthConfig),
  hosts: unlessEmpty("Hosts", texts),
  dnsConfig: optional("DNSConfig", dnsConfig),
  isolation: defaulted("Isolation", textOf("container.Isolation"), "default"),
  sysctls: unlessEmpty("Sysctls", labels),
  capabilityAdd: unlessEmpty("CapabilityAdd", texts),
  capabilityDrop: unlessEmpty("CapabilityDrop", texts),
  ulimits: unlessEmpty("Ulimits", list(ulimit)),
  privileges: optional("Privileges", privileges),
  oomScoreAdj: unlessEmpty("OomScoreAdj", int64),
});

// ---- Tasks -----------------------------------------------------------------------------------

/** Limits and reservations have the same fields under two of Go's names. */
function resourcesOf(goType: string): Codec<Resources> {
  return struct<Resources>(
    goType,
    {
      nanoCPUs: unlessEmpty("NanoCPUs", int64),
      memoryBytes: unlessEmpty("MemoryBytes", int64),
      pids: unlessEmpty("Pids", int64),
    },
    { refused: { GenericResources: "generic resources are not supported by Weft" } },
  );
}

export const resources = resourcesOf("swarm.Resources");
const limits = resourcesOf("swarm.Limit");

const resourceRequirements = struct<NonNullable<TaskSpec["resources"]>>(
  "swarm.ResourceRequirements",
  {
    limits: optional("Limits", limits),
    reservations: optional("Reservations", resources),
  },
  {
    refused: {
      SwapBytes: "swap space of services is not supported by Weft",
      MemorySwappiness: "swappiness of services is not supported by Weft",
    },
  },
);

const restartPolicy: Codec<RestartPolicy> = struct<RestartPolicy>("swarm.RestartPolicy", {
  condition: defaulted(
    "Condition",
    oneOf(
      "swarm.RestartPolicyCondition",
      ["any", "none", "on-failure"],
      (word) => `invalid RestartCondition: "${word}"`,
    ),
    "any",
  ),
  delay: optional("Delay", duration),
  maxAttempts: defaulted("MaxAttempts", uint64, 0),
  window: optional("Window", duration),
});

type Preference = NonNullable<Placement["preferences"]>[number];

const preference = struct<Preference>("swarm.PlacementPreference", {
  spread: required(
    "Spread",
    struct<Preference["spread"]>("swarm.SpreadOver", {
      spreadDescriptor: required("SpreadDescriptor", text, ""),
    }),
    { spreadDescriptor: "" },
  ),
});

const placement: Codec<Placement> = struct<Placement>("swarm.Placement", {
  constraints: unlessEmpty("Constraints", texts),
  preferences: unlessEmpty("Preferences", list(preference)),
  maxReplicas: unlessEmpty("MaxReplicas", uint64),
  platforms: unlessEmpty(
    "Platforms",
    list(
      struct<NonNullable<Placement["platforms"]>[number]>("swarm.Platform", {
        architecture: unlessEmpty("Architecture", text),
        os: unlessEmpty("OS", text),
      }),
    ),
  ),
});

const networkAttachment: Codec<NetworkAttachmentConfig> = struct<NetworkAttachmentConfig>(
  "swarm.NetworkAttachmentConfig",
  {
    target: omittedWhenEmpty("Target", text, ""),
    aliases: unlessEmpty("Aliases", texts),
    driverOpts: unlessEmpty("DriverOpts", labels),
  },
);

const logDriver = struct<NonNullable<TaskSpec["logDriver"]>>("swarm.Driver", {
  name: unlessEmpty("Name", text),
  options: unlessEmpty("Options", dictionary(text)),
});

/** A task template without a container is possible on the wire; service-spec.ts refuses it as Docker does. */
export const NO_CONTAINER: ContainerSpec = { image: "" };

export const taskSpec: Codec<TaskSpec> = struct<TaskSpec>(
  "swarm.TaskSpec",
  {
    containerSpec: required("ContainerSpec", containerSpec, NO_CONTAINER),
    resources: optional("Resources", resourceRequirements),
    restartPolicy: optional("RestartPolicy", restartPolicy),
    placement: optional("Placement", placement),
    networks: unlessEmpty("Networks", list(networkAttachment)),
    logDriver: optional("LogDriver", logDriver),
    forceUpdate: required("ForceUpdate", uint64, 0),
    runtime: defaulted("Runtime", textOf("swarm.RuntimeType"), "container"),
  },
  {
    refused: {
      PluginSpec: "services of plugins are not supported by Weft",
      NetworkAttachmentSpec: "network attachments as services are not supported by Weft",
    },
  },
);

// ---- Services --------------------------------------------------------------------------------

const updateConfig: Codec<UpdateConfig> = struct<UpdateConfig>("swarm.UpdateConfig", {
  parallelism: required("Parallelism", uint64, 0),
  delay: unlessEmpty("Delay", duration),
  failureAction: defaulted(
    "FailureAction",
    oneOf(
      "string",
      ["pause", "continue", "rollback"],
      (word) => `unrecognized update failure action ${word}`,
    ),
    "pause",
  ),
  monitor: unlessEmpty("Monitor", duration),
  maxFailureRatio: defaulted("MaxFailureRatio", float32, 0),
  order: defaulted(
    "Order",
    oneOf("string", ["stop-first", "start-first"], (word) => `unrecognized update order ${word}`),
    "stop-first",
  ),
});

const serviceMode: Codec<ServiceMode> = struct<ServiceMode>("swarm.ServiceMode", {
  replicated: optional(
    "Replicated",
    struct<NonNullable<ServiceMode["replicated"]>>("swarm.ReplicatedService", {
      replicas: required("Replicas", uint64, 1),
    }),
  ),
  global: optional("Global", struct<Record<string, never>>("swarm.GlobalService", {})),
  replicatedJob: optional(
    "ReplicatedJob",
    struct<NonNullable<ServiceMode["replicatedJob"]>>("swarm.ReplicatedJob", {
      maxConcurrent: optional("MaxConcurrent", uint64),
      totalCompletions: optional("TotalCompletions", uint64),
    }),
  ),
  globalJob: optional("GlobalJob", struct<Record<string, never>>("swarm.GlobalJob", {})),
});

export const serviceSpec: Codec<ServiceSpec> = struct<ServiceSpec>("swarm.ServiceSpec", {
  name: required("Name", text, ""),
  labels: required("Labels", labels, {}),
  taskTemplate: required("TaskTemplate", taskSpec, {
    containerSpec: NO_CONTAINER,
    forceUpdate: 0,
  }),
  mode: required("Mode", serviceMode, {}),
  updateConfig: optional("UpdateConfig", updateConfig),
  rollbackConfig: optional("RollbackConfig", updateConfig),
  networks: unlessEmpty("Networks", list(networkAttachment)),
  endpointSpec: optional("EndpointSpec", endpointSpec),
});

/** Without the updater's own tally. */
type ShownUpdateStatus = Omit<UpdateStatus, "failedTasks">;

export const updateStatus: Codec<ShownUpdateStatus> = struct<ShownUpdateStatus>(
  "swarm.UpdateStatus",
  {
    state: required(
      "State",
      oneOf("swarm.UpdateState", UPDATE_STATES, (word) => `invalid update state: "${word}"`),
      "updating",
    ),
    startedAt: unlessEmpty("StartedAt", text),
    completedAt: unlessEmpty("CompletedAt", text),
    message: omittedWhenEmpty("Message", text, ""),
  },
);
