/** A task's container as the Engine's `POST /containers/create` wants it. Pure: the same config, the same body. */
import { isOfIPv6 } from "../../base/ip-address.ts";
import type { HealthConfig, Mount, Privileges } from "../../cluster/objects.ts";
import type { ContainerConfig, ContainerNetwork } from "../runtime.ts";
import { definedOf, type Json, recordOf } from "./decode.ts";

/** Carried by every container of Weft's; its value is the task's id. What is without it is never touched. */
export const TASK_LABEL = "weft.task.id";

/** In the first of its networks: an Engine 20.10 takes no more at once, it is connected to the others before it starts. */
export function createBody(config: ContainerConfig): Json {
  const first = config.networks?.[0];
  return definedOf({
    Image: config.image,
    Labels: { ...config.labels, [TASK_LABEL]: config.taskID },
    Entrypoint: config.entrypoint,
    Cmd: config.args,
    Env: config.env,
    Hostname: config.hostname,
    WorkingDir: config.workingDir,
    User: config.user,
    Tty: config.tty,
    OpenStdin: config.openStdin,
    StopSignal: config.stopSignal,
    // For whoever stops it by hand; Weft's own stops name their grace.
    StopTimeout: Math.ceil(config.stopGraceMs / 1000),
    Healthcheck: config.healthcheck && healthcheckOf(config.healthcheck),
    HostConfig: hostConfigOf(config),
    NetworkingConfig: first && { EndpointsConfig: { [first.name]: endpointConfigOf(first) } },
  });
}

/**
 * With the managers' addresses and nothing else: a name given here would be answered by this Engine, for this host
 * alone.
 */
export function endpointConfigOf({ addresses }: ContainerNetwork): Json {
  return {
    IPAMConfig: definedOf({
      IPv4Address: addresses.find((address) => !isOfIPv6(address)),
      IPv6Address: addresses.find(isOfIPv6),
    }),
  };
}

function hostConfigOf(config: ContainerConfig): Json {
  return definedOf({
    // An ended task is replaced by another one, never started again.
    RestartPolicy: { Name: "no" },
    NetworkMode: config.hostNetwork === true ? "host" : config.networks?.[0]?.name,
    Isolation: "default",
    PortBindings: {},
    GroupAdd: config.groups,
    ReadonlyRootfs: config.readOnly,
    Init: config.init,
    ExtraHosts: config.extraHosts,
    Dns: config.dns?.nameservers,
    DnsSearch: config.dns?.search,
    DnsOptions: config.dns?.options,
    Sysctls: config.sysctls,
    CapAdd: config.capabilityAdd,
    CapDrop: config.capabilityDrop,
    Ulimits: (config.ulimits ?? []).map(({ name, soft, hard }) => ({
      Name: name,
      Soft: soft,
      Hard: hard,
    })),
    SecurityOpt: config.privileges && securityOptsOf(config.privileges),
    OomScoreAdj: config.oomScoreAdj,
    NanoCpus: config.limits?.nanoCPUs,
    Memory: config.limits?.memoryBytes,
    PidsLimit: config.limits?.pids,
    LogConfig: config.logDriver?.name && {
      Type: config.logDriver.name,
      Config: config.logDriver.options ?? {},
    },
    Mounts: config.mounts.map(mountOf),
  });
}

/** As `docker run --security-opt` has them; the defaults need no word. */
function securityOptsOf(privileges: Privileges): readonly string[] {
  const { seLinuxContext = {}, seccomp, appArmor, noNewPrivileges } = privileges;
  const { disable, ...labels } = seLinuxContext;
  return [
    ...(disable === true
      ? ["label=disable"]
      : Object.entries(labels).map(([key, value]) => `label=${key}:${value}`)),
    ...(seccomp?.mode === "unconfined" ? ["seccomp=unconfined"] : []),
    ...(seccomp?.mode === "custom"
      ? [`seccomp=${Buffer.from(seccomp.profile ?? "", "base64").toString("utf8")}`]
      : []),
    ...(appArmor?.mode === "disabled" ? ["apparmor=unconfined"] : []),
    ...(noNewPrivileges === true ? ["no-new-privileges=true"] : []),
  ];
}

function healthcheckOf(health: HealthConfig): Json {
  return definedOf({
    Test: health.test,
    Interval: health.interval,
    Timeout: health.timeout,
    Retries: health.retries,
    StartPeriod: health.startPeriod,
    StartInterval: health.startInterval,
  });
}

function mountOf(mount: Mount): Json {
  return definedOf({
    Type: mount.type,
    Source: mount.source,
    Target: mount.target,
    ReadOnly: mount.readOnly,
    Consistency: mount.consistency,
    BindOptions: mount.bindOptions && optionsOf(mount.bindOptions),
    VolumeOptions: mount.volumeOptions && volumeOptionsOf(mount.volumeOptions),
    TmpfsOptions: mount.tmpfsOptions && optionsOf(mount.tmpfsOptions),
  });
}

function volumeOptionsOf(options: Json): Json {
  const wire = optionsOf(options);
  return definedOf({
    ...wire,
    DriverConfig: wire["DriverConfig"] && optionsOf(recordOf(wire["DriverConfig"])),
  });
}

/** Docker's names begin with a capital, ours do not; only the options' own names change, never users' keys below. */
function optionsOf(options: Json): Json {
  const wire = Object.entries(options).map(([name, value]) => [
    `${name.charAt(0).toUpperCase()}${name.slice(1)}`,
    value,
  ]);
  return Object.fromEntries(wire) as Json;
}
