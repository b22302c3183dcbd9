/** Objects for tests: every field has a default, a test names only what it is about. The program never imports this. */
import {
  type AttachmentID,
  type ClusterID,
  type NetworkID,
  type NodeID,
  newID,
  type ServiceID,
  type TaskID,
} from "../base/ids.ts";
import { DEFAULT_CLUSTER_SPEC } from "./initial-objects.ts";
import type {
  Attachment,
  Cluster,
  ClusterSpec,
  Network,
  Node,
  NodeAvailability,
  NodeDescription,
  NodeState,
  PortConfig,
  Service,
  ServiceSpec,
  Task,
  TaskSpec,
  TaskState,
} from "./objects.ts";

const EPOCH = "2023-11-14T22:13:20.000Z";
const META = { version: { index: 1 }, createdAt: EPOCH, updatedAt: EPOCH };

export type NodeInit = Partial<Omit<Node, "id" | "spec" | "description" | "status">> & {
  readonly id?: string;
  readonly hostname?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly availability?: NodeAvailability;
  readonly role?: Node["spec"]["role"];
  readonly state?: NodeState;
  readonly addr?: string;
  readonly description?: Partial<NodeDescription>;
};

/** A ready, active worker with plenty of everything, unless told. */
export function makeNode(init: NodeInit = {}): Node {
  const { id, hostname, labels, availability, role, state, addr, description, ...rest } = init;
  const nodeID = (id ?? newID<NodeID>()) as NodeID;
  return {
    ...META,
    id: nodeID,
    spec: { labels: labels ?? {}, role: role ?? "worker", availability: availability ?? "active" },
    description: {
      hostname: hostname ?? `host-${nodeID.slice(0, 6)}`,
      platform: { architecture: "x86_64", os: "linux" },
      resources: { nanoCPUs: 4_000_000_000, memoryBytes: 8 * 1024 ** 3 },
      engine: { engineVersion: "20.10.24", labels: {}, plugins: [] },
      addresses: [],
      ...description,
    },
    status: { state: state ?? "ready", addr: addr ?? "192.168.99.100" },
    ...rest,
  };
}

export type ServiceInit = Partial<Omit<Service, "id" | "spec">> & {
  readonly id?: string;
  readonly name?: string;
  readonly replicas?: number;
  readonly global?: boolean;
  readonly ports?: readonly PortConfig[];
  readonly task?: Partial<TaskSpec>;
  readonly spec?: Partial<ServiceSpec>;
};

/** A replicated service of one nginx without ports, unless told. */
export function makeService(init: ServiceInit = {}): Service {
  const { id, name, replicas, global, ports, task, spec, ...rest } = init;
  const serviceID = (id ?? newID<ServiceID>()) as ServiceID;
  return {
    ...META,
    id: serviceID,
    specVersion: { index: 1 },
    spec: {
      name: name ?? `service-${serviceID.slice(0, 6)}`,
      labels: {},
      taskTemplate: makeTaskSpec(task),
      mode: global === true ? { global: {} } : { replicated: { replicas: replicas ?? 1 } },
      ...(ports === undefined ? {} : { endpointSpec: { mode: "vip", ports } }),
      ...spec,
    },
    ...rest,
  };
}

export function makeTaskSpec(init: Partial<TaskSpec> = {}): TaskSpec {
  return { containerSpec: { image: "nginx:latest" }, forceUpdate: 0, ...init };
}

export type TaskInit = Partial<Omit<Task, "id" | "serviceID" | "nodeID" | "spec" | "status">> & {
  readonly id?: string;
  readonly serviceID?: string;
  readonly nodeID?: string;
  readonly state?: TaskState;
  readonly spec?: Partial<TaskSpec>;
  readonly status?: Partial<Task["status"]>;
};

/** A running task that is meant to run, in slot 1 of its service, unless told. */
export function makeTask(init: TaskInit = {}): Task {
  const { id, serviceID, nodeID, state, spec, status, ...rest } = init;
  return {
    ...META,
    id: (id ?? newID<TaskID>()) as TaskID,
    serviceID: (serviceID ?? newID<ServiceID>()) as ServiceID,
    slot: 1,
    spec: makeTaskSpec(spec),
    specVersion: { index: 1 },
    serviceAnnotations: { name: "web", labels: {} },
    desiredState: "running",
    status: { timestamp: EPOCH, state: state ?? "running", message: "started", ...status },
    networksAttachments: [],
    ...(nodeID === undefined ? {} : { nodeID: nodeID as NodeID }),
    ...rest,
  };
}

/** A published port: 8080/tcp to 80 in ingress mode, unless told. */
export function makePort(init: Partial<PortConfig> = {}): PortConfig {
  return { protocol: "tcp", targetPort: 80, publishedPort: 8080, publishMode: "ingress", ...init };
}

export function makeNetwork(
  init: Partial<Omit<Network, "id">> & { readonly id?: string } = {},
): Network {
  const { id, ...rest } = init;
  return {
    ...META,
    id: (id ?? newID<NetworkID>()) as NetworkID,
    spec: {
      name: "ingress",
      labels: {},
      driver: "overlay",
      driverOptions: {},
      internal: false,
      attachable: false,
      ingress: true,
      ipv6Enabled: false,
    },
    ipam: { driver: "default", config: [{ subnet: "10.255.0.0/16", gateway: "10.255.0.1" }] },
    vni: 4096,
    ...rest,
  };
}

/** A user's overlay network, 10.0.1.0/24 with VNI 4097, unless told. */
export function makeOverlay(
  init: Partial<Omit<Network, "id" | "spec">> & {
    readonly id?: string;
    readonly name?: string;
    readonly subnet?: string;
    readonly spec?: Partial<Network["spec"]>;
  } = {},
): Network {
  const { name, subnet = "10.0.1.0/24", spec, ...rest } = init;
  const base = makeNetwork();
  return makeNetwork({
    ipam: { driver: "default", config: [{ subnet, gateway: subnet.replace(/0\/.*/, "1") }] },
    vni: 4097,
    ...rest,
    spec: { ...base.spec, ingress: false, name: name ?? "overlay", ...spec },
  });
}

/** A container of a user's own in a network, without an address, unless told. */
export function makeAttachment(
  init: Partial<Omit<Attachment, "id">> & { readonly id?: string } = {},
): Attachment {
  const { id, ...rest } = init;
  return {
    ...META,
    id: (id ?? newID<AttachmentID>()) as AttachmentID,
    networkID: "lan" as NetworkID,
    nodeID: "n1" as NodeID,
    containerName: "mine",
    aliases: [],
    addresses: [],
    ...rest,
  };
}

export function makeClusterSpec(init: Partial<ClusterSpec> = {}): ClusterSpec {
  return { ...DEFAULT_CLUSTER_SPEC, ...init };
}

export function makeCluster(
  init: Partial<Omit<Cluster, "id">> & { readonly id?: string } = {},
): Cluster {
  const { id, ...rest } = init;
  return {
    ...META,
    id: (id ?? newID<ClusterID>()) as ClusterID,
    spec: makeClusterSpec(),
    rootCACertificate: "",
    joinTokens: { worker: "", manager: "" },
    defaultAddrPool: ["10.0.0.0/8"],
    subnetSize: 24,
    dataPathPort: 4789,
    ...rest,
  };
}
