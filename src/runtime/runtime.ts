/**
 * What the agent asks of whatever runs containers. One contract suite (contract.ts) runs over the
 * Docker Engine and the fake. Times are milliseconds; ids are the runtime's own container ids.
 */
import type {
  DNSConfig,
  HealthConfig,
  Labels,
  Mount,
  NodeDescription,
  Privileges,
  Resources,
  Ulimit,
} from "../cluster/objects.ts";

/** One container to make, already free of templates and defaults. */
export interface ContainerConfig {
  /** Unique on the node: `service.slot.taskID`. */
  readonly name: string;
  readonly taskID: string;
  readonly image: string;
  readonly labels: Labels;
  readonly entrypoint?: readonly string[];
  readonly args?: readonly string[];
  readonly env: readonly string[];
  readonly hostname?: string;
  readonly workingDir?: string;
  readonly user?: string;
  readonly groups?: readonly string[];
  readonly tty?: boolean;
  readonly openStdin?: boolean;
  readonly readOnly?: boolean;
  readonly init?: boolean;
  readonly stopSignal?: string;
  readonly stopGraceMs: number;
  readonly mounts: readonly Mount[];
  readonly healthcheck?: HealthConfig;
  readonly extraHosts?: readonly string[];
  readonly dns?: DNSConfig;
  readonly sysctls?: Labels;
  readonly capabilityAdd?: readonly string[];
  readonly capabilityDrop?: readonly string[];
  readonly ulimits?: readonly Ulimit[];
  readonly privileges?: Privileges;
  readonly oomScoreAdj?: number;
  readonly limits?: Resources;
  readonly logDriver?: { readonly name?: string; readonly options?: Labels };
  /** The host's own network, in place of one of the container's. */
  readonly hostNetwork?: boolean;
  /** The Weft networks to attach to, with the addresses that the managers gave; the Engine's own bridge when empty. */
  readonly networks?: readonly ContainerNetwork[];
}

/** A container's place in one network. */
export interface ContainerNetwork {
  readonly name: string;
  /** Without prefix length, IPv4 first. */
  readonly addresses: readonly string[];
}

/** A Weft network on the local runtime. Made again when somebody pruned it. */
export interface RuntimeNetwork {
  readonly name: string;
  /** CIDRs, IPv4 first. */
  readonly subnets: readonly string[];
  /** Of a user's overlay network, which is bridged; the mesh's own is routed and has none. */
  readonly overlay?: {
    readonly networkID: string;
    readonly vni: number;
    readonly internal: boolean;
  };
  /** Of its containers' links; the uplink's less the tunnel's overhead when absent. */
  readonly mtu?: number;
}

export type ContainerPhase = "created" | "running" | "exited";
export type ContainerHealth = "none" | "starting" | "healthy" | "unhealthy";

export interface ContainerState {
  readonly containerID: string;
  readonly taskID: string;
  readonly phase: ContainerPhase;
  readonly health: ContainerHealth;
  readonly pid?: number;
  /** Ports that its image says it may listen on, as "tcp/80"; absent when it says nothing. */
  readonly exposedPorts?: readonly string[];
  readonly exitCode?: number;
  /** Why the last start failed, in the runtime's own words. */
  readonly error?: string;
  readonly oomKilled?: boolean;
}

export interface RuntimeEvent {
  readonly taskID: string;
  readonly containerID: string;
  readonly kind: "start" | "die" | "health" | "remove";
}

export interface EnsureImageInit {
  /** As the CLI sent it (X-Registry-Auth): base64url of JSON. */
  readonly registryAuth?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (text: string) => void;
}

export interface LogOptions {
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly follow: boolean;
  readonly timestamps: boolean;
  /** Lines from the end; absent for all. */
  readonly tail?: number;
  /** RFC 3339 or Unix seconds, as the API has it. */
  readonly since?: string;
  readonly until?: string;
}

export interface LogFrame {
  readonly stream: "stdout" | "stderr";
  readonly data: Uint8Array;
}

export interface Runtime {
  /** What this node is. Throws UnavailableError when the runtime does not answer. */
  describe(): Promise<Omit<NodeDescription, "addresses">>;
  /** Makes sure that the image is there: a local one is good enough, else it is pulled. */
  ensureImage(image: string, init?: EnsureImageInit): Promise<void>;
  ensureNetwork(network: RuntimeNetwork): Promise<void>;
  /** Harmless when it is gone; containers of users' own that are in it go on without it. */
  removeNetwork(name: string): Promise<void>;
  /** Addresses in a network of Weft's that containers were given, whether they run or not; none when it is gone. */
  addressesIn(network: string): Promise<ReadonlySet<string>>;
  /** Removes every network of Weft's that is not wanted, asked of each right before it would go. */
  sweepNetworks(isWanted: (name: string) => boolean): Promise<void>;
  /** Creates; adopts a container of the same task that is there already. Resolves with its id. */
  create(config: ContainerConfig): Promise<string>;
  start(containerID: string): Promise<void>;
  /** Signal, grace, then kill; resolves when the container has ended. Harmless on one that has. */
  stop(containerID: string, init: { readonly graceMs: number }): Promise<void>;
  /** Removes it by force, with its anonymous volumes. Harmless when it is gone. */
  remove(containerID: string): Promise<void>;
  inspect(containerID: string): Promise<ContainerState | undefined>;
  /** Every container that carries a Weft task, running or not. */
  list(): Promise<readonly ContainerState[]>;
  /** Changes of Weft's containers until the signal; throws UnavailableError when the runtime goes away. */
  events(signal: AbortSignal): AsyncIterable<RuntimeEvent>;
  logs(containerID: string, options: LogOptions, signal: AbortSignal): AsyncIterable<LogFrame>;
}
