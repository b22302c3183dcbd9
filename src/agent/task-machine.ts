/**
 * One assigned task, from the assignment to the removal of its container. The machine looks at the container,
 * asks `nextStep`, does it, and looks again; whatever changes only marks it dirty. Its status is the truth that
 * is reported.
 */

import { AssertionFault, unreachable } from "../base/assert.ts";
import { type Clock, delay, type Timer } from "../base/clock.ts";
import { isTemporary, messageOf, SystemError, UnavailableError } from "../base/errors.ts";
import { isOfIPv6 } from "../base/ip-address.ts";
import { Reconciler } from "../base/lifecycle.ts";
import type { Logger } from "../base/logger.ts";
import {
  isTerminal,
  type Mount,
  type NetworkAttachment,
  type PortConfig,
  type Task,
  type TaskState,
  type TaskStatus,
} from "../cluster/objects.ts";
import type { TemplateNode } from "../cluster/template.ts";
import { mustStop, type TaskAssignment } from "../dispatcher/assignment.ts";
import type { ContainerState, Runtime, RuntimeNetwork } from "../runtime/runtime.ts";
import { Backoff } from "./backoff.ts";
import {
  containerConfigOf,
  drainTimeoutMsOf,
  isOnOverlay,
  stopGraceMsOf,
  taskAddress,
  taskAddress6,
  withoutIPv6,
} from "./container-config.ts";
import { draining, newerStatus, relayed, reported, servedKey, servingIPv6 } from "./task-status.ts";
import { nextStep, START_FAILED, type TaskStep } from "./task-step.ts";
import type { TrafficWatch } from "./traffic-watch.ts";

/** An unhealthy task is stopped after this time even if the mesh still leads connections to it. */
const HIDING_MS_MAX = 5_000;

/** Pauses before each look at which ports a task serves over IPv6. */
const IPV6_LOOKS_MS = [0, 250, 1_000, 4_000];
/** What a task needs of its node beside the runtime. */
export interface TaskSurroundings {
  /** The node, as templates in a spec name it; undefined until the runtime has described it. */
  node(): TemplateNode | undefined;
  /** The network of an attachment as managers' state has it; undefined until it is told. */
  network(network: NetworkAttachment["network"]): RuntimeNetwork | undefined;
  /** Whether the kernel routes to this address of a local task. */
  isReachable(address: string): boolean;
  /** Whether a link of this local task was deleted under it. */
  isCutOff(task: Task): boolean;
  /** Whether the kernel leads new connections to this local task. */
  isLive(taskID: string): boolean;
  /** Takes host-mode ports for a task, all or none; throws what the task fails with. */
  claimPorts(task: Task, previous: readonly PortConfig[]): Promise<readonly PortConfig[]>;
  releasePorts(taskID: string): void;
  /** Secrets and configs of the task as mounts; temporary errors while they are not known here. */
  provideFiles(task: Task): Promise<readonly Mount[]>;
  releaseFiles(taskID: string): void;
  /** Whatever other tasks have left may go. */
  keepFilesOf(taskIDs: ReadonlySet<string>): void;
  onStatus(taskID: string, status: TaskStatus): void;
  /** Nothing is left of the task. */
  onDone(taskID: string): void;
  /** A task's connections are done, or their time is over: after so long. */
  onDrained?(durationMs: number): void;
}

export interface TaskMachineComponents {
  readonly runtime: Runtime;
  readonly surroundings: TaskSurroundings;
  readonly traffic: TrafficWatch;
  readonly clock: Clock;
  readonly log: Logger;
}

export class TaskMachine {
  readonly #runtime: Runtime;
  readonly #surroundings: TaskSurroundings;
  readonly #traffic: TrafficWatch;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #loop: Reconciler;
  readonly #backoff = new Backoff();
  #retry: Timer | undefined;
  #assignment: TaskAssignment;
  #assigned = true;
  #status: TaskStatus;
  #containerID: string | undefined;
  /** As it was when last looked at. */
  #seen: ContainerState | undefined;
  /** Resolved, and made anew, with each step. */
  #changed = Promise.withResolvers<void>();
  #sick = false;
  #serving: Wait | undefined;
  #looksForIPv6 = false;
  #draining: Wait | undefined;
  #hiding: Wait | undefined;
  /** Aborted with the machine. */
  readonly #end = new AbortController();
  #stopped = false;
  /** Aborted when what is under way has become useless: a pull for a task that is to stop. */
  #preparing = new AbortController();

  constructor(
    components: TaskMachineComponents,
    assignment: TaskAssignment,
    known: { readonly status?: TaskStatus; readonly containerID?: string } = {},
  ) {
    this.#runtime = components.runtime;
    this.#surroundings = components.surroundings;
    this.#traffic = components.traffic;
    this.#clock = components.clock;
    this.#log = components.log;
    this.#assignment = assignment;
    this.#status = newerStatus(assignment.task.status, known.status);
    this.#containerID = known.containerID;
    this.#loop = new Reconciler({ pass: () => this.#pass(), onError: failHard });
  }

  get task(): Task {
    return this.#assignment.task;
  }

  get status(): TaskStatus {
    return this.#status;
  }

  get containerID(): string | undefined {
    return this.#containerID;
  }

  get assigned(): boolean {
    return this.#assigned;
  }

  /** Something may have changed: look again. */
  markDirty(): void {
    this.#loop.markDirty();
  }

  assign(assignment: TaskAssignment): void {
    const { desiredState } = assignment.task;
    const isNews = desiredState !== this.task.desiredState || !this.#assigned;
    this.#assignment = assignment;
    this.#assigned = true;
    if (mustStop(desiredState)) this.#preparing.abort();
    if (isNews) this.markDirty();
  }

  /** No manager assigns the task any more: its container is stopped and removed. */
  unassign(): void {
    this.#assigned = false;
    this.#preparing.abort();
    this.markDirty();
  }

  /** What a list of all containers says of this one: looked at only when it is news. */
  observe(container: ContainerState | undefined): void {
    this.#containerID ??= container?.containerID;
    const isNews =
      container?.phase !== this.#seen?.phase || container?.health !== this.#seen?.health;
    if (isNews) this.markDirty();
  }

  /** The task's container once it has been started; undefined when the task ends without one. */
  async container(signal: AbortSignal): Promise<string | undefined> {
    const hasStarted = () => this.#seen !== undefined && this.#seen.phase !== "created";
    while (!hasStarted() && !signal.aborted && !this.#isOver()) {
      await Promise.race([this.#changed.promise, abortOf(signal)]);
    }
    return this.#containerID;
  }

  /** Resolves when there is nothing to do until something changes. */
  idle(): Promise<void> {
    return this.#loop.idle();
  }

  /** Stops deciding; the container is left as it is. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#end.abort();
    this.#retry?.cancel();
    this.#preparing.abort();
    this.#notify();
    await this.#loop.stop();
  }

  async #pass(): Promise<void> {
    this.#retry?.cancel();
    try {
      await this.#advance();
      this.#backoff.reset();
    } catch (error) {
      if (error instanceof AssertionFault) throw error;
      if (this.#stopped) return;
      const delayMs = this.#backoff.next();
      this.#log.warn("a step of a task is tried again", { task: this.task.id, error, delayMs });
      this.#retry = this.#clock.timer("task-retry", delayMs, () => this.markDirty());
    }
  }

  async #advance(): Promise<void> {
    let container = await this.#inspect();
    while (!this.#stopped) {
      const step = nextStep({
        state: this.#status.state,
        desired: this.task.desiredState,
        assigned: this.#assigned,
        container,
        sick: this.#sick,
        cutOff: this.#isCutOff(),
        reachable: this.#isReachable(),
        unhealthy: this.#status.unhealthy === true,
        live: this.#isLive(),
        serving: this.#isServing(container),
        drained: this.#isDrained(container),
      });
      this.#lookForIPv6(container);
      if (step.kind === "wait") return;
      if (step.kind === "done") {
        this.#surroundings.releasePorts(this.task.id);
        this.#surroundings.releaseFiles(this.task.id);
        this.#surroundings.onDone(this.task.id);
        this.#notify();
        return;
      }
      if (step.kind === "report") {
        this.#report(step, container);
      } else {
        await this.#act(step);
        container = await this.#inspect();
      }
      this.#notify();
    }
  }

  /** Does one thing to the container. What cannot succeed is reported; what may succeed later is thrown. */
  async #act(step: Exclude<TaskStep, { kind: "wait" | "done" | "report" }>): Promise<void> {
    switch (step.kind) {
      case "prepare":
        return this.#orReport("rejected", () => this.#prepare());
      case "start":
        return this.#orReport("failed", () => this.#start());
      case "stop":
        if (step.sick === true) this.#sick = true;
        return this.#stop();
      case "remove":
        return this.#remove();
      default:
        return unreachable(step);
    }
  }

  async #orReport(state: TaskState, action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (error) {
      if (error instanceof AssertionFault || isTemporary(error)) throw error;
      // Cut short because the task is to stop: the next step does that.
      if (this.#preparing.signal.aborted) return;
      this.#report({ kind: "report", state, err: messageOf(error) }, undefined);
    }
  }

  async #prepare(): Promise<void> {
    this.#preparing = new AbortController();
    const { task, registryAuth } = this.#assignment;
    const node = this.#surroundings.node();
    if (node === undefined) throw new UnavailableError("this node is not described yet");
    const config = containerConfigOf(task, node, await this.#surroundings.provideFiles(task));
    await this.#runtime.ensureImage(config.image, {
      signal: this.#preparing.signal,
      onProgress: (text) => this.#log.debug("pulling", { image: config.image, text }),
      ...(registryAuth === undefined ? {} : { registryAuth }),
    });
    const ipv4Only = new Set<string>();
    for (const { network } of task.networksAttachments) {
      const known = this.#surroundings.network(network);
      if (known === undefined) {
        throw new UnavailableError(`network ${network.name} is not known here yet`);
      }
      await this.#runtime.ensureNetwork(known);
      if (!known.subnets.some(isOfIPv6)) ipv4Only.add(known.name);
    }
    this.#preparing.signal.throwIfAborted();
    this.#containerID = await this.#runtime.create(withoutIPv6(config, ipv4Only));
  }

  async #start(): Promise<void> {
    const containerID = this.#containerID;
    if (containerID === undefined) return;
    // Written again where a host was switched off between the container's making and its start.
    await this.#surroundings.provideFiles(this.task);
    const ports = await this.#surroundings.claimPorts(
      this.task,
      this.#status.portStatus?.ports ?? [],
    );
    if (ports.length > 0) {
      // Told before the start, so that a daemon that dies in between finds the same ports again.
      this.#status = { ...this.#status, portStatus: { ports } };
      this.#surroundings.onStatus(this.task.id, this.#status);
    }
    if (mustStop(this.task.desiredState) || !this.#assigned) return;
    try {
      await this.#runtime.start(containerID);
    } catch (error) {
      if (isTemporary(error)) throw error;
      throw new SystemError(`${START_FAILED}${messageOf(error)}`, { cause: error });
    }
  }

  async #stop(): Promise<void> {
    const containerID = this.#containerID;
    if (containerID === undefined) return;
    await this.#runtime.stop(containerID, { graceMs: stopGraceMsOf(this.task) });
    if ((await this.#inspect())?.phase === "running") {
      throw new UnavailableError(`container ${containerID} was stopped and still runs`);
    }
  }

  async #remove(): Promise<void> {
    if (this.#containerID !== undefined) await this.#runtime.remove(this.#containerID);
    this.#containerID = undefined;
  }

  async #inspect(): Promise<ContainerState | undefined> {
    const id = this.#containerID;
    this.#seen = id === undefined ? undefined : await this.#runtime.inspect(id);
    return this.#seen;
  }

  #isOver(): boolean {
    return this.#stopped || !this.#assigned || isTerminal(this.#status.state);
  }

  #notify(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }

  #isCutOff(): boolean {
    return this.#surroundings.isCutOff(this.task);
  }

  #isReachable(): boolean {
    const address = taskAddress(this.task);
    return address === undefined || this.#surroundings.isReachable(address);
  }

  /** Looked at while the container starts; a health check says more than a listening socket, so then that decides. */
  #isServing(container: ContainerState | undefined): boolean {
    const ports = this.task.endpoint?.ports ?? [];
    const pid = container?.pid;
    if (this.#status.state !== "starting") return true;
    if (pid === undefined || container?.health !== "none") return true;
    // Where nothing is published, in a user's network alone, its image is all that says where it might listen.
    const { exposedPorts = [] } = isOnOverlay(this.task) ? container : {};
    if (ports.length + exposedPorts.length === 0) return true;
    this.#serving ??= this.#waitFor((signal) =>
      ports.length > 0
        ? this.#traffic.untilServed(pid, ports, signal)
        : this.#traffic.untilOneServed(pid, exposedPorts, signal),
    );
    return this.#serving.isOver;
  }

  /**
   * Which ports IPv6 clients can be led to, looked at from the moment it runs. A server may open its sockets one after
   * the other; what it serves later than the last look, or over IPv4 alone, the keeper relays.
   */
  #lookForIPv6(container: ContainerState | undefined): void {
    const { pid } = container ?? {};
    const { ports = [] } = this.task.endpoint ?? {};
    const address = taskAddress6(this.task);
    if (this.#status.state !== "running" || this.#looksForIPv6) return;
    if (pid === undefined || ports.length === 0 || address === undefined) return;
    this.#looksForIPv6 = true;
    void this.#looks6(pid, ports, address, this.#end.signal).catch(failHard);
  }

  async #looks6(
    pid: number,
    ports: readonly PortConfig[],
    address: string,
    signal: AbortSignal,
  ): Promise<void> {
    for (const delayMs of IPV6_LOOKS_MS) {
      await delay(this.#clock, "ipv6-ports", delayMs, signal).catch(() => {});
      if (signal.aborted || this.#status.state !== "running") return;
      const served = await this.#traffic.ipv6Ports(pid, ports, address);
      if (signal.aborted || this.#status.state !== "running") return;
      const serving = servingIPv6(this.#status, served);
      if (serving !== this.#status) this.#tell(serving);
      if (ports.every((port) => served.includes(servedKey(port)))) return;
    }
    this.#tell(relayed(this.#status, ports));
  }

  #tell(status: TaskStatus): void {
    this.#set(status);
    if (this.#assigned) this.#surroundings.onStatus(this.task.id, this.#status);
  }

  #set(status: TaskStatus): void {
    this.#status = { ...status, timestamp: new Date(this.#clock.now()).toISOString() };
  }

  /** Looked at once the task may stop: by then every node leads new connections elsewhere. */
  #isDrained(container: ContainerState | undefined): boolean {
    const published = this.task.endpoint?.ports ?? [];
    const ports = isOnOverlay(this.task) ? "served" : published;
    const pid = container?.pid;
    if (this.#status.state !== "running" || !mustStop(this.task.desiredState)) return true;
    if (pid === undefined || ports.length === 0) return true;
    const tell = (count: number) => {
      if (!isTerminal(this.#status.state)) this.#tell(draining(this.#status, count));
    };
    const timeoutMs = drainTimeoutMsOf(this.task);
    this.#draining ??= this.#waitFor(async (signal) => {
      const startedAt = this.#clock.monotonic();
      await this.#traffic.untilDrained(pid, ports, timeoutMs, tell, signal);
      if (!signal.aborted) this.#surroundings.onDrained?.(this.#clock.monotonic() - startedAt);
    });
    return this.#draining.isOver;
  }

  /** Managers take an unhealthy task out of the mesh. With none in reach it is stopped all the same. */
  #isLive(): boolean {
    if (this.#status.unhealthy !== true) return false;
    if (!this.#surroundings.isLive(this.task.id)) return false;
    this.#hiding ??= this.#waitFor((signal) =>
      delay(this.#clock, "hiding", HIDING_MS_MAX, signal).catch(() => {}),
    );
    return !this.#hiding.isOver;
  }

  #waitFor(work: (signal: AbortSignal) => Promise<void>): Wait {
    const wait = { isOver: false };
    void work(this.#end.signal).then(() => {
      wait.isOver = true;
      this.markDirty();
    }, failHard);
    return wait;
  }

  #report(
    step: Extract<TaskStep, { kind: "report" }>,
    container: ContainerState | undefined,
  ): void {
    const { state, err } = step;
    const containerID = container?.containerID ?? this.#containerID;
    const seen = containerID === undefined ? undefined : { ...container, containerID };
    this.#set(reported(this.#status, step, seen));
    if (err !== undefined) this.#log.warn("task ended", { task: this.task.id, state, err });
    if (isTerminal(state)) {
      this.#surroundings.releasePorts(this.task.id);
      this.#surroundings.releaseFiles(this.task.id);
    }
    if (this.#assigned) this.#surroundings.onStatus(this.task.id, this.#status);
  }
}

/** Something that goes on beside the machine's steps. */
interface Wait {
  readonly isOver: boolean;
}

/** A pass reports its own errors; what comes out of it is a broken invariant. */
function failHard(error: unknown): never {
  throw error;
}

function abortOf(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
