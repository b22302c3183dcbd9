/** What a task's container is to be. */
import type { ConfigID, SecretID } from "../../base/ids.ts";
import type { Labels } from "./meta.ts";

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
