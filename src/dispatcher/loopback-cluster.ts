/**
 * A real manager and real nodes on loopback, for tests: TLS, gRPC and sessions are the product's; the store
 * is in memory, endpoints answer as the test says, and an agent only writes down what it is told.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AgentSession, type AgentSessionInit } from "../agent/session.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import { type ClusterID, type NetworkID, type NodeID, newID } from "../base/ids.ts";
import { createLogger, type Logger } from "../base/logger.ts";
import { systemRandom } from "../base/random.ts";
import { createClusterCA, createManagerCertificates, nodeValidityMs } from "../ca/cluster-ca.ts";
import { certificatesDirectory, joinCluster } from "../ca/join.ts";
import { NodeCA } from "../ca/node-ca.ts";
import type { NodeCertificates } from "../ca/node-certificates.ts";
import type { RootCA } from "../ca/root-ca.ts";
import {
  makeCluster,
  makeNetwork,
  makeNode,
  makePort,
  makeService,
  makeTask,
} from "../cluster/factories.ts";
import type { Cluster, NodeDescription, NodeRole, Task } from "../cluster/objects.ts";
import { createMemoryStore } from "../cluster/open-store.ts";
import type { Store } from "../cluster/store.ts";
import type { HostTrace, TraceQuestion } from "../datapath/host-trace.ts";
import type { KernelMesh } from "../datapath/inspect.ts";
import type {
  LogSubscription,
  MeshConfig,
  SessionHandler,
  TaskAssignment,
  TaskLogMessage,
} from "./assignment.ts";
import { Dispatcher } from "./dispatcher.ts";
import { ManagerServer } from "./manager-server.ts";

/** No test waits longer for anything. */
const WAIT_MS_MAX = 30_000;

/** Resolves as soon as `probe` gives something; told by whatever calls `poke`, checked at a short interval besides. */
export async function eventually<T>(what: string, probe: () => T | undefined | false): Promise<T> {
  const until = performance.now() + WAIT_MS_MAX;
  for (;;) {
    const found = probe();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > until) throw new Error(`not in ${WAIT_MS_MAX} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export interface LoopbackInit {
  readonly cluster?: Partial<Omit<Cluster, "id">>;
  /** The manager's clock. */
  readonly clock?: Clock;
  /** Which endpoints answer when their node's daemon does not; none unless told. */
  readonly answers?: (address: string) => boolean;
}

export class LoopbackCluster {
  readonly store: Store;
  readonly rootCA: RootCA;
  readonly certificates: NodeCertificates;
  readonly directory: string;
  readonly log: Logger;
  /** Every line that the manager logged. */
  readonly logged: string[];
  readonly #init: LoopbackInit;
  readonly #agents: LoopbackAgent[] = [];
  #server: ManagerServer | undefined;
  #dispatcher: Dispatcher | undefined;
  #port = 0;

  private constructor(
    init: LoopbackInit,
    made: {
      store: Store;
      rootCA: RootCA;
      certificates: NodeCertificates;
      directory: string;
    },
  ) {
    this.#init = init;
    this.store = made.store;
    this.rootCA = made.rootCA;
    this.certificates = made.certificates;
    this.directory = made.directory;
    const logged: string[] = [];
    this.logged = logged;
    this.log = createLogger({ level: "debug", write: (line) => void logged.push(line) });
  }

  static async start(init: LoopbackInit = {}): Promise<LoopbackCluster> {
    const directory = mkdtempSync(join(tmpdir(), "weft-loopback-"));
    const store = createMemoryStore();
    const clock = init.clock ?? systemClock;
    const { rootCA, joinTokens } = await createClusterCA(store, clock);
    const clusterID = newID<ClusterID>();
    const nodeID = newID<NodeID>();
    const cluster = makeCluster({
      id: clusterID,
      rootCACertificate: rootCA.certificate,
      joinTokens,
      ...init.cluster,
    });
    await store.update((tx) => {
      tx.put("cluster", cluster);
      tx.put("node", makeNode({ id: nodeID, role: "manager", addr: "127.0.0.1" }));
    });
    const certificates = await createManagerCertificates({
      rootCA,
      nodeID,
      clusterID,
      directory: certificatesDirectory(join(directory, "manager")),
      validityMs: nodeValidityMs(cluster),
      clock,
    });
    const made = new LoopbackCluster(init, { store, rootCA, certificates, directory });
    await made.startManager();
    return made;
  }

  get addr(): string {
    return `127.0.0.1:${this.#port}`;
  }
  get dispatcher(): Dispatcher {
    if (this.#dispatcher === undefined) throw new Error("the manager is stopped");
    return this.#dispatcher;
  }
  get cluster(): Cluster {
    const [cluster] = this.store.view().list("cluster");
    if (cluster === undefined) throw new Error("no cluster");
    return cluster;
  }

  /** Also after `stopManager`, on the same port and store. */
  async startManager(): Promise<void> {
    const { store, certificates, log } = this;
    const clock = this.#init.clock ?? systemClock;
    const dispatcher = new Dispatcher({
      store,
      clock,
      random: systemRandom,
      log,
      probe: { answers: async (address) => this.#init.answers?.(address) ?? false },
    });
    const nodeCA = new NodeCA({ store, clock, log });
    const server = new ManagerServer(
      { dispatcher, nodeCA, certificates, log },
      { host: "127.0.0.1", port: this.#port },
    );
    await dispatcher.start();
    await server.start();
    this.#port = server.address.port;
    this.#dispatcher = dispatcher;
    this.#server = server;
  }

  async stopManager(): Promise<void> {
    await this.#server?.stop();
    await this.#dispatcher?.stop();
  }

  /** Joins a node by token; it has no session yet. */
  async join(
    name: string,
    role: NodeRole = "worker",
    token = this.cluster.joinTokens[role],
  ): Promise<NodeCertificates> {
    return await joinCluster({
      remoteAddrs: [this.addr],
      token,
      availability: "active",
      advertiseAddr: "",
      dataDir: join(this.directory, name),
      clock: systemClock,
    });
  }

  /** Joins a node and starts its session. */
  async startAgent(name: string): Promise<LoopbackAgent> {
    return this.startAgentWith(await this.join(name), {});
  }

  startAgentWith(
    certificates: NodeCertificates,
    init: Partial<AgentSessionInit>,
    applies = true,
  ): LoopbackAgent {
    const agent = new LoopbackAgent(certificates, { managers: [this.addr], ...init }, applies);
    this.#agents.push(agent);
    agent.session.start();
    return agent;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const agent of this.#agents) await agent.session.stop();
    await this.stopManager();
    await this.store.close();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Writes down what it is told, and confirms each mesh at once unless told not to. */
export class LoopbackAgent implements SessionHandler {
  readonly certificates: NodeCertificates;
  readonly session: AgentSession;
  readonly logged: string[] = [];
  /** What it says of its kernel; never answers while undefined. */
  kernel: KernelMesh | undefined;
  /** What it says of a packet; never answers while undefined. */
  trace: ((packet: TraceQuestion) => HostTrace) | undefined;
  tasks: readonly TaskAssignment[] = [];
  taskSets = 0;
  mesh: MeshConfig | undefined;
  removed: string | undefined;
  roles: NodeRole[] = [];
  managers: readonly { nodeID: string; addr: string }[] = [];
  lines: readonly TaskLogMessage[] = [];
  /** Keeps a followed stream open until it is aborted. */
  followed = 0;
  applies: boolean;

  constructor(
    certificates: NodeCertificates,
    init: Partial<AgentSessionInit> & { readonly managers: readonly string[] },
    applies: boolean,
  ) {
    this.certificates = certificates;
    this.applies = applies;
    const log = createLogger({ level: "debug", write: (line) => void this.logged.push(line) });
    this.session = new AgentSession(
      { certificates, handler: this, clock: systemClock, random: systemRandom, log },
      {
        description: describeHost(certificates.identity.nodeID.slice(0, 6)),
        advertiseAddr: "",
        onManagers: (managers) => {
          this.managers = managers;
        },
        ...init,
      },
    );
  }

  get nodeID(): NodeID {
    return this.certificates.identity.nodeID;
  }
  onTasks(assignments: readonly TaskAssignment[]): void {
    this.tasks = assignments;
    this.taskSets += 1;
  }
  onMesh(mesh: MeshConfig): void {
    this.mesh = mesh;
    if (this.applies) this.session.reportApplied(mesh.revision);
  }
  async *onLogs(subscription: LogSubscription, signal: AbortSignal): AsyncIterable<TaskLogMessage> {
    yield* this.lines.filter((line) => subscription.taskIDs.includes(line.taskID));
    if (!subscription.follow) return;
    this.followed += 1;
    try {
      await new Promise<void>((resolve) => {
        signal.addEventListener("abort", () => resolve(), { once: true });
      });
    } finally {
      this.followed -= 1;
    }
  }
  onInspect(): Promise<KernelMesh> {
    return this.kernel === undefined ? new Promise(() => {}) : Promise.resolve(this.kernel);
  }
  onTrace(packet: TraceQuestion): Promise<HostTrace> {
    return this.trace === undefined ? new Promise(() => {}) : Promise.resolve(this.trace(packet));
  }
  onRemoved(reason: string): void {
    this.removed = reason;
  }
  onRole(role: NodeRole): void {
    this.roles.push(role);
  }
}

export function describeHost(hostname: string): NodeDescription {
  return {
    hostname,
    platform: { architecture: "x86_64", os: "linux" },
    resources: { nanoCPUs: 2_000_000_000, memoryBytes: 1024 ** 3 },
    engine: { engineVersion: "20.10.24", labels: {}, plugins: [] },
    addresses: ["192.168.99.101"],
  };
}

const INGRESS = "ingress-id" as NetworkID;

/** Publishes a service whose one task runs on the first node, known to both nodes' kernels. */
export async function publish(
  cluster: LoopbackCluster,
  agents: readonly LoopbackAgent[],
): Promise<Task> {
  const ports = [makePort()];
  const task = makeTask({
    id: "t1",
    serviceID: "web",
    nodeID: agents[0]?.nodeID ?? "",
    networksAttachments: [
      { network: { id: INGRESS, name: "ingress" }, addresses: ["10.255.0.9/16"] },
    ],
  });
  await cluster.store.update((tx) => {
    tx.put("network", makeNetwork({ id: INGRESS }));
    const endpoint = { spec: { mode: "vip" as const, ports }, ports, virtualIPs: [] };
    tx.put("service", makeService({ id: "web", name: "web", endpoint }));
    for (const [at, agent] of agents.entries()) {
      const node = tx.get("node", agent.nodeID);
      if (node === undefined) throw new Error("the node has not joined");
      tx.put("node", { ...node, index: at + 1, ingressAddress: `10.255.0.${at + 2}` });
    }
    tx.put("task", task);
  });
  for (const agent of agents) {
    await eventually("live endpoint", () => endpointState(agent) === "live");
  }
  await eventually("assigned", () => agents[0]?.tasks.length === 1);
  return task;
}

/** Of that one task, as the agent was told. */
export const endpointState = (agent: LoopbackAgent) => agent.mesh?.services[0]?.endpoints[0]?.state;
