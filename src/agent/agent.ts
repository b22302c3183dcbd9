/**
 * A node's agent: runs the tasks that managers assign, brings the kernel to the mesh that they told, and says
 * how both went. It needs no session to go on: what it was last told is on disk.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Clock, Timer } from "../base/clock.ts";
import type { Startable } from "../base/lifecycle.ts";
import type { Logger } from "../base/logger.ts";
import type { Meters } from "../base/meters.ts";
import type { MetricFamily } from "../base/metrics.ts";
import type { Random } from "../base/random.ts";
import type { NodeDescription, NodeRole, TaskStatus } from "../cluster/objects.ts";
import type { TemplateNode } from "../cluster/template.ts";
import type { HostTrace, TraceQuestion } from "../datapath/host-trace.ts";
import type { KernelMesh } from "../datapath/inspect.ts";
import { hostHasIPv6 } from "../datapath/ipv6-host.ts";
import type {
  LogSubscription,
  MeshConfig,
  Payloads,
  SessionHandler,
  SessionReporter,
  TaskAssignment,
  TaskLogMessage,
} from "../dispatcher/assignment.ts";
import type { SaidEndpoint } from "../gossip/endpoint-news.ts";
import type { KeeperClient } from "../keeper/protocol.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { NodeAttachments } from "./attachments.ts";
import { DEFAULT_STOP_GRACE_MS, stopGraceMsOf } from "./container-config.ts";
import { correctedMesh, type EndpointOverride, type EndpointOverrides } from "./corrected-mesh.ts";
import { decodeLinkCounters, type MeteredTask, meshFamilies } from "./endpoint-metrics.ts";
import { NetworkSweeper, runtimeNetworkOf } from "./engine-networks.ts";
import { KeeperLink } from "./keeper-link.ts";
import { LinkWatch, placesOf } from "./link-watch.ts";
import { type AgentMemory, MemoryFile } from "./memory.ts";
import { MeshApplier, type MeshDatapath } from "./mesh-applier.ts";
import { DEFAULT_ZONE, type ZoneInit } from "./names.ts";
import { type Interfaces, NodeDescriber } from "./node-describer.ts";
import { NodePorts } from "./node-ports.ts";
import { ownEndpoints, READY_MS } from "./own-endpoints.ts";
import { MeshSieve } from "./sound-mesh.ts";
import { removeTaskFiles, TaskFiles } from "./task-files.ts";
import { TaskLogs } from "./task-logs.ts";
import type { TaskSurroundings } from "./task-machine.ts";
import { type TaskSocketReader, taskSockets } from "./task-sockets.ts";
import type { StartingTask } from "./told-endpoints.ts";
import { TrafficWatch } from "./traffic-watch.ts";
import { Worker } from "./worker.ts";

/** Beyond the tasks' own grace: stopping and removing, also by an Engine whose network driver answers slowly. */
const CLEAR_MARGIN_MS = 60_000;

/** So many of a mesh's bad parts are named in the log; of more the number is enough. */
const REFUSED_TOLD_MAX = 8;

export interface AgentComponents {
  readonly runtime: Runtime;
  readonly keeper: KeeperClient;
  /** Starts a keeper where none answers. */
  readonly ensureKeeper: () => Promise<void>;
  readonly datapath: MeshDatapath;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** The host's interfaces; the system's own when absent. */
  readonly interfaces?: () => Interfaces;
  /** Makes sure that a directory is in memory; the system's own way when absent. */
  readonly ensureInMemory?: (directory: string) => Promise<void>;
  /** What the nodes tell each other; without it only managers know of others. */
  readonly gossip?: AgentGossip;
  /** The sockets of a task's process; the system's own when absent. */
  readonly sockets?: TaskSocketReader;
  /** The host's /proc/net/dev; the system's own when absent. */
  readonly readLinks?: () => Promise<string>;
  readonly meters?: Meters;
}

/** What the agent tells the gossip, and hears from it. */
export interface AgentGossip {
  setMesh(mesh: MeshConfig): void;
  /** What this node says of its own endpoints. */
  setOwn(own: readonly SaidEndpoint[]): void;
  /** Endpoints that managers know to start. */
  starting(): ReadonlyMap<string, StartingTask>;
  /** What the nodes themselves say of tasks, whatever managers have told. */
  overrides(): EndpointOverrides;
  /** Calls back whenever `overrides` has changed. */
  onOverrides(callback: () => void): void;
}

export interface AgentInit {
  readonly nodeID: string;
  readonly hostname: string;
  /** The daemon's data directory; the agent's files are in `agent/` below it. */
  readonly dataDir: string;
  /** Where tasks' secrets and configs are. */
  readonly secretsDir: string;
  /** Where this node answers to balancers outside of containers, and as what. */
  readonly zone?: ZoneInit;
  /** Networks of this host's addresses at which ports are answered whose service does not say; all when absent. */
  readonly publishDefault?: readonly string[];
  /** The cluster no longer knows this node. */
  readonly onRemoved: (reason: string) => void;
  readonly onRole: (role: NodeRole) => void;
}

export class Agent implements Startable, SessionHandler {
  readonly #init: AgentInit;
  readonly #log: Logger;
  readonly #worker: Worker;
  readonly #applier: MeshApplier;
  readonly #ports: NodePorts;
  readonly #links: LinkWatch;
  readonly #networks: NetworkSweeper;
  /** Containers of users' own. */
  readonly attachments: NodeAttachments;
  readonly #link: KeeperLink;
  readonly #describer: NodeDescriber;
  readonly #memory: MemoryFile;
  readonly #sieve = new MeshSieve();
  readonly #logs: TaskLogs;
  readonly #files: TaskFiles;
  #fileRemovals = Promise.resolve();
  #gone: readonly string[] = [];
  #ownTimer: Timer | undefined;
  #stopped = false;
  readonly #runtime: Runtime;
  readonly #datapath: MeshDatapath;
  readonly #meters: Meters | undefined;
  readonly #sockets: TaskSocketReader;
  readonly #readLinks: () => Promise<string>;
  readonly #clock: Clock;
  readonly #gossip: AgentGossip | undefined;
  #reporter: SessionReporter | undefined;
  readonly #described = Promise.withResolvers<void>();
  #leaving = false;

  constructor(components: AgentComponents, init: AgentInit) {
    const { runtime, keeper, ensureKeeper, datapath, clock, random } = components;
    const { nodeID, hostname } = init;
    const log = components.log.child("agent");
    this.#init = init;
    this.#log = log;
    this.#runtime = runtime;
    this.#datapath = datapath;
    this.#meters = components.meters;
    this.#sockets = components.sockets ?? taskSockets;
    this.#readLinks = components.readLinks ?? (async () => readFileSync("/proc/net/dev", "latin1"));
    this.#clock = clock;
    const { gossip } = components;
    this.#gossip = gossip;
    this.#link = new KeeperLink({
      keeper,
      ensureKeeper,
      clock,
      log,
      onChange: () => {
        this.#applier.markDirty();
        this.attachments.markDirty();
      },
    });
    this.#ports = new NodePorts({ link: this.#link, random });
    const { ensureInMemory } = components;
    this.#files = new TaskFiles({
      directory: init.secretsDir,
      ...(ensureInMemory === undefined ? {} : { ensureInMemory }),
    });
    this.#applier = new MeshApplier({
      nodeID,
      datapath,
      link: this.#link,
      ports: this.#ports,
      zone: init.zone ?? DEFAULT_ZONE,
      serves6: (taskID, key) =>
        this.#worker.machines.get(taskID)?.status.ipv6Ports?.includes(key) === true,
      log,
      onApplied: (revision) => this.#reporter?.reportApplied(revision),
      onPortProblems: (problems) => this.#reporter?.reportPortProblems(problems),
      onReachable: () => this.#worker.markWaiting(),
      publishDefault: init.publishDefault ?? [],
      ...(gossip === undefined
        ? {}
        : { overrides: () => gossip.overrides(), onGone: (taskIDs) => this.#onGone(taskIDs) }),
    });
    gossip?.onOverrides(() => this.#applier.markDirty());
    this.#worker = new Worker({
      runtime,
      surroundings: this.#surroundings(),
      traffic: new TrafficWatch({
        reader: this.#sockets,
        clock,
      }),
      restorePorts: (task, status) => this.#ports.restore(task, status.portStatus?.ports ?? []),
      onRuntime: () => {
        this.#networks.markDirty();
        this.attachments.markDirty();
        void this.#describe();
        void this.#audit(datapath);
      },
      onRuntimeAway: (problem) => this.#describer.noteRuntimeAway(problem),
      clock,
      log,
    });
    this.#networks = new NetworkSweeper({ runtime, log, mesh: () => this.#applier.mesh });
    this.attachments = new NodeAttachments({
      ...{ nodeID, runtime, clock, log },
      mesh: () => this.#applier.mesh,
    });
    this.#links = new LinkWatch({
      lostAddresses: () => datapath.lostAddresses(),
      clock,
      onCutOff: () => this.#worker.markAll(),
    });
    this.#describer = new NodeDescriber({
      hostname,
      runtime,
      clock,
      log,
      publishDefault: init.publishDefault ?? [],
      onChange: (description) => this.#onDescription(description),
      ...(components.interfaces === undefined ? {} : { interfaces: components.interfaces }),
    });
    this.#memory = new MemoryFile({
      nodeID,
      path: join(init.dataDir, "agent", "memory.json"),
      log,
      snapshot: () => this.#snapshot(),
    });
    this.#logs = new TaskLogs({ nodeID, runtime, machine: (id) => this.#worker.machines.get(id) });
  }

  /** Goes on with what the last daemon was told, until a session says what is now. */
  async start(): Promise<void> {
    const memory = await this.#memory.read();
    if (memory !== undefined) {
      this.#worker.remember(memory.tasks, memory.statuses);
      if (memory.mesh !== undefined) this.#setMesh(memory.mesh);
    }
    this.#link.start();
    this.#describer.start();
    this.#worker.start();
    this.#links.start();
  }

  /** Stops deciding: containers, kernel and keeper go on as they are. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#ownTimer?.cancel();
    await this.#describer.stop();
    await this.#links.stop();
    await this.#networks.stop();
    await this.attachments.stop();
    await this.#worker.stop();
    await this.#applier.stop();
    await this.#link.stop();
    await this.#memory.stop();
  }

  /** The session that reports go to from now on; it is told first how everything stands. */
  setReporter(reporter: SessionReporter): void {
    this.#reporter = reporter;
    const { description } = this.#describer;
    if (description !== undefined) reporter.reportDescription(description);
    for (const [taskID, { status }] of this.#worker.machines) {
      reporter.reportStatus({ taskID, status });
    }
    reporter.reportPortProblems(this.#applier.problems);
    if (this.appliedRevision !== undefined) reporter.reportApplied(this.appliedRevision);
  }

  /** What this node is, as soon as the runtime has said it. */
  async description(): Promise<NodeDescription> {
    await this.#described.promise;
    return this.#describer.description as NodeDescription;
  }

  /** The endpoint revision that this node's kernel has; undefined until it has one. */
  get appliedRevision(): number | undefined {
    return this.#applier.appliedRevision;
  }

  /**
   * The node leaves the cluster: every task is ended and removed, its network too, and nothing is remembered.
   * An Engine that does not answer cannot keep a node in its cluster: what it still has then is an orphan at the
   * next join, and said in the log.
   */
  async clear(): Promise<void> {
    this.#leaving = true;
    this.#reporter = undefined;
    const graces = [...this.#worker.machines.values()].map(({ task }) => stopGraceMsOf(task));
    const waitMs = Math.max(DEFAULT_STOP_GRACE_MS, ...graces) + CLEAR_MARGIN_MS;
    const removed = this.#removeAll();
    const inTime = await within(this.#clock, waitMs, removed);
    if (!inTime) this.#log.warn("the node leaves and its containers are not all removed");
    // What the last removals changed would tell the keeper the names once more.
    await this.#applier.stop();
    await this.#link
      .tellNames(() => [])
      .catch((error: unknown) => {
        this.#log.warn("the keeper still has the cluster's names", { error });
      });
    await this.#fileRemovals;
    if (inTime) await removeTaskFiles(this.#init.secretsDir);
    await this.#memory.forget();
  }

  /** What the metrics page says of the mesh on this node. */
  async metrics(): Promise<readonly MetricFamily[]> {
    const published = [...this.#worker.machines.values()].filter(
      ({ task, status }) => status.state === "running" && (task.endpoint?.ports ?? []).length > 0,
    );
    const tasks = published.map(async ({ task, status }): Promise<MeteredTask> => {
      const pid = status.containerStatus?.pid;
      return { task, sockets: pid === undefined ? undefined : await this.#sockets.sockets(pid) };
    });
    const { mesh } = this.#applier;
    const overrides = this.#gossip?.overrides() ?? new Map<string, EndpointOverride>();
    const links = decodeLinkCounters(await this.#readLinks());
    const counters = (this.#link.endpoints ?? []).flatMap(({ address, link }) => {
      const found = links.get(link);
      return found === undefined ? [] : [[address, found] as const];
    });
    return meshFamilies({
      tasks: await Promise.all(tasks),
      counters: new Map(counters),
      traffic: await this.#datapath.traffic(),
      services: mesh === undefined ? [] : correctedMesh(mesh, overrides).services,
      portProblems: this.#ports.problems().length,
      revision: this.appliedRevision,
    });
  }

  // ---- SessionHandler --------------------------------------------------------------------------

  onTasks(assignments: readonly TaskAssignment[], payloads: Payloads): void {
    if (this.#leaving) return;
    this.#files.learn(payloads);
    this.#worker.assign(assignments);
    if (this.#ports.relabel(assignments.map(({ task }) => task))) this.#applier.markDirty();
    this.#memory.markDirty();
  }

  onMesh(mesh: MeshConfig): void {
    if (this.#leaving) return;
    this.#setMesh(mesh);
    this.#networks.onMesh(mesh);
    this.attachments.markDirty();
    this.#worker.markWaiting();
    this.#memory.markDirty();
  }

  onLogs(subscription: LogSubscription, signal: AbortSignal): AsyncIterable<TaskLogMessage> {
    return this.#logs.read(subscription, signal);
  }

  async onInspect(): Promise<KernelMesh> {
    const { publishDefault = [] } = this.#init;
    const kernel = await this.#datapath.inspect();
    return publishDefault.length === 0 ? kernel : { ...kernel, publishDefault };
  }

  async onTrace(packet: TraceQuestion): Promise<HostTrace> {
    const trace = await this.#datapath.trace(packet);
    const problem = this.#applier.problems.find(
      ({ protocol, publishedPort }) =>
        protocol === packet.protocol && publishedPort === packet.port,
    );
    if (problem === undefined) return trace;
    return { ...trace, port: { ...trace.port, problem: problem.reason } };
  }

  onRemoved(reason: string): void {
    this.#init.onRemoved(reason);
  }

  onRole(role: NodeRole): void {
    this.#init.onRole(role);
  }

  // ---- For tests: resolves when nothing more is to be done until something changes ---------------

  async idle(): Promise<void> {
    await this.#worker.idle();
    await this.#applier.idle();
    await this.#networks.idle();
    await this.attachments.idle();
    await this.#memory.idle();
    await this.#fileRemovals;
  }

  #setMesh(told: MeshConfig): void {
    const { mesh, refused } = this.#sieve.sift(told);
    if (refused.length > 0) {
      this.#log.error("parts of the mesh that a manager told are no addresses, networks or ports", {
        count: refused.length,
        refused: refused.slice(0, REFUSED_TOLD_MAX),
      });
    }
    this.#gossip?.setMesh(mesh);
    this.#applier.setMesh(mesh);
  }

  #surroundings(): TaskSurroundings {
    return {
      node: () => this.#templateNode(),
      network: (network) =>
        runtimeNetworkOf(this.#applier.mesh, network, this.#applier.ipv6 ?? hostHasIPv6()),
      isReachable: (address) => this.#applier.isReachable(address),
      isCutOff: (task) =>
        placesOf(task, this.#applier.mesh).some((place) => this.#links.isCutOff(place)),
      isLive: (taskID) => this.#applier.isLive(taskID),
      claimPorts: async (task, previous) => {
        const ports = await this.#ports.claim(task, previous);
        if (ports.length > 0) this.#applier.markDirty();
        return ports;
      },
      releasePorts: (taskID) => {
        if (this.#ports.release(taskID)) this.#applier.markDirty();
      },
      provideFiles: (task) => this.#files.provide(task),
      releaseFiles: (taskID) => this.#removeFiles(() => this.#files.release(taskID)),
      keepFilesOf: (taskIDs) => this.#removeFiles(() => this.#files.sweep(taskIDs)),
      onStatus: (taskID, status) => this.#onStatus(taskID, status),
      onDone: () => this.#memory.markDirty(),
      onDrained: (ms) => this.#meters?.drain.observe(ms),
    };
  }

  /** One removal after another; what fails is swept again when the runtime is listed next. */
  #removeFiles(remove: () => Promise<void>): void {
    this.#fileRemovals = this.#fileRemovals.then(remove).catch((error: unknown) => {
      this.#log.error("secrets of a task that has ended are not removed", { error });
    });
  }

  #templateNode(): TemplateNode | undefined {
    const { description } = this.#describer;
    if (description === undefined) return undefined;
    const { hostname, platform } = description;
    return { nodeID: this.#init.nodeID, hostname, platform };
  }

  async #removeAll(): Promise<void> {
    this.#worker.assign([]);
    await this.#worker.emptied();
    if (this.#applier.mesh === undefined) return;
    try {
      await this.#runtime.sweepNetworks(() => false);
    } catch (error) {
      // Somebody's own container is on it, as with Docker: the network goes when that does.
      this.#log.warn("a network of the mesh stays on the Engine", { error });
    }
  }

  #onGone(taskIDs: readonly string[]): void {
    this.#gone = taskIDs;
    this.#tellOwn();
  }

  #tellOwn(): void {
    const { mesh } = this.#applier;
    const gossip = this.#gossip;
    if (mesh === undefined || gossip === undefined) return;
    const own = ownEndpoints({
      ...{ nodeID: this.#init.nodeID, mesh, gone: this.#gone, now: this.#clock.now() },
      starting: gossip.starting(),
      tasks: this.#worker.machines.values(),
    });
    gossip.setOwn(own);
    this.#ownTimer?.cancel();
    if (this.#stopped || !own.some(({ word }) => word === "ready")) return;
    this.#ownTimer = this.#clock.timer("own endpoints", READY_MS, () => this.#tellOwn());
  }

  #onStatus(taskID: string, status: TaskStatus): void {
    // Its host-mode ports may lead IPv6 clients to it from now on.
    if (status.ipv6Ports !== undefined && status.portStatus !== undefined)
      this.#applier.markDirty();
    this.#tellOwn();
    this.#memory.markDirty();
    this.#reporter?.reportStatus({ taskID, status });
  }

  async #describe(): Promise<void> {
    try {
      await this.#describer.refresh();
    } catch (error) {
      // The worker finds out too, and says so when the runtime is back.
      this.#log.warn("the container runtime does not describe itself", { error });
    }
  }

  /** An Engine that starts makes or orders its firewall's chains anew, among them the one that lets the mesh pass. */
  async #audit(datapath: MeshDatapath): Promise<void> {
    try {
      await datapath.audit();
    } catch (error) {
      this.#log.warn("the kernel could not be compared with the mesh", { error });
    }
  }

  #onDescription(description: NodeDescription): void {
    this.#described.resolve();
    this.#worker.markWaiting();
    this.#reporter?.reportDescription(description);
  }

  #snapshot(): AgentMemory {
    const { mesh } = this.#applier;
    return { ...this.#worker.snapshot(), ...(mesh === undefined ? {} : { mesh }) };
  }
}

/** Whether the work was done in time; a failure of it is a failure here. */
async function within(clock: Clock, delayMs: number, work: Promise<void>): Promise<boolean> {
  const late = Promise.withResolvers<boolean>();
  const timer = clock.timer("clear", delayMs, () => late.resolve(false));
  try {
    return await Promise.race([work.then(() => true), late.promise]);
  } finally {
    timer.cancel();
  }
}
