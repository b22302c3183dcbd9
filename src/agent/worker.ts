/**
 * The node's tasks: one machine for each that is assigned, and the end of every container whose task no manager
 * assigns any more. It hears the runtime's events, and lists all containers whenever it may have missed some.
 */
import { type Clock, delay } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import type { Startable } from "../base/lifecycle.ts";
import type { Logger } from "../base/logger.ts";
import type { Task, TaskState, TaskStatus } from "../cluster/objects.ts";
import type { TaskAssignment } from "../dispatcher/assignment.ts";
import type { ContainerState, Runtime } from "../runtime/runtime.ts";
import { Backoff } from "./backoff.ts";
import { DEFAULT_STOP_GRACE_MS } from "./container-config.ts";
import type { AgentMemory } from "./memory.ts";
import { TaskMachine, type TaskSurroundings } from "./task-machine.ts";
import { holdsPorts } from "./task-status.ts";
import type { TrafficWatch } from "./traffic-watch.ts";

/** A runtime that restarts is back by then. One that is away for longer is believed to have taken its tasks along. */
const RUNTIME_AWAY_MS = 10_000;

/** All containers are listed anew so often, in case an event was lost after all. */
const RESYNC_MS = 30_000;
const WAITING_STATES: ReadonlySet<TaskState> = new Set(["preparing", "starting"]);

export interface WorkerComponents {
  readonly runtime: Runtime;
  readonly surroundings: TaskSurroundings;
  readonly traffic: TrafficWatch;
  /** Ports of a task that was started before this daemon. */
  readonly restorePorts: (task: Task, status: TaskStatus) => void;
  /** The runtime answers, for the first time or again. */
  readonly onRuntime: () => void;
  /** The runtime has answered nothing for long: why, in plain words. */
  readonly onRuntimeAway: (problem: string) => void;
  readonly clock: Clock;
  readonly log: Logger;
}

export class Worker implements Startable {
  readonly #components: WorkerComponents;
  readonly #surroundings: TaskSurroundings;
  readonly #machines = new Map<string, TaskMachine>();
  readonly #stopping = new AbortController();
  #watching: Promise<void> | undefined;
  /** Machines wait for the first list: before it nobody knows which containers there are. */
  #containers: ReadonlyMap<string, ContainerState> | undefined;
  #remembered: Readonly<Record<string, TaskStatus>> = {};
  /** Whether a manager has said what this node's tasks are; until then no container is an orphan. */
  #told = false;
  /** Orphans on their way out, by container. */
  readonly #orphans = new Map<string, Promise<void>>();
  #assignments: readonly TaskAssignment[] = [];
  /** Resolved, and made anew, when a task or an orphan is gone. */
  #changed = Promise.withResolvers<void>();

  constructor(components: WorkerComponents) {
    this.#components = components;
    this.#surroundings = {
      ...components.surroundings,
      onDone: (taskID) => this.#onDone(taskID),
    };
  }

  get machines(): ReadonlyMap<string, TaskMachine> {
    return this.#machines;
  }

  /** What is worth remembering: the tasks assigned, and how they stand, whether or not the runtime answers yet. */
  snapshot(): Pick<AgentMemory, "tasks" | "statuses"> {
    const tasks = this.#assignments.map(({ task }) => task);
    const statuses = tasks.flatMap(({ id }) => {
      const status = this.#machines.get(id)?.status ?? this.#remembered[id];
      return status === undefined ? [] : [[id, status] as const];
    });
    return { tasks, statuses: Object.fromEntries(statuses) };
  }

  /** What the last daemon knew; before `start`. */
  remember(tasks: readonly Task[], statuses: Readonly<Record<string, TaskStatus>>): void {
    this.#remembered = statuses;
    this.#assignments = tasks.map((task) => ({ task }));
  }

  start(): void {
    this.#watching ??= this.#watch();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#watching;
    await Promise.all([...this.#machines.values()].map((machine) => machine.stop()));
    await Promise.allSettled(this.#orphans.values());
  }

  /** The whole set of this node's tasks, from a manager. */
  assign(assignments: readonly TaskAssignment[]): void {
    this.#assignments = assignments;
    this.#reconcile();
    if (!this.#told) this.#endOrphans();
    this.#told = true;
  }

  /** Something changed that tasks wait for before they run: a network, a route. */
  markWaiting(): void {
    for (const machine of this.#machines.values()) {
      const { state, unhealthy } = machine.status;
      if (WAITING_STATES.has(state) || unhealthy === true) machine.markDirty();
    }
  }

  /** Something befell the tasks that no event of the runtime tells. */
  markAll(): void {
    for (const machine of this.#machines.values()) machine.markDirty();
  }

  /** Resolves when the runtime has shown that no container of Weft's is left. */
  async emptied(): Promise<void> {
    while (!this.#isEmpty()) await this.#changed.promise;
  }

  /** Resolves when every machine waits and no orphan is left. */
  async idle(): Promise<void> {
    for (const machine of this.#machines.values()) await machine.idle();
    await Promise.allSettled(this.#orphans.values());
  }

  async #watch(): Promise<void> {
    const { runtime, clock, onRuntime } = this.#components;
    const { signal } = this.#stopping;
    const backoff = new Backoff();
    let answers = false;
    let awaySince: number | undefined;
    while (!signal.aborted) {
      try {
        this.#learn(await runtime.list());
        if (!answers) onRuntime();
        answers = true;
        awaySince = undefined;
        backoff.reset();
        await this.#listen();
      } catch (error) {
        if (signal.aborted) return;
        answers = false;
        const now = clock.monotonic();
        this.#tellAway(error, awaySince === undefined, now - (awaySince ?? now));
        awaySince ??= now;
        await delay(clock, "runtime-retry", backoff.next(), signal).catch(() => {});
      }
    }
  }

  /** Said once as a warning, and to the cluster when it lasts. */
  #tellAway(error: unknown, isNew: boolean, forMs: number): void {
    const { log, onRuntimeAway } = this.#components;
    log[isNew ? "warn" : "debug"]("the container runtime does not answer", { error });
    if (forMs >= RUNTIME_AWAY_MS)
      onRuntimeAway(`its container runtime is away: ${messageOf(error)}`);
  }

  /** Hears events until it is time to list anew. */
  async #listen(): Promise<void> {
    const { runtime, clock } = this.#components;
    const resync = new AbortController();
    const timer = clock.timer("runtime-resync", RESYNC_MS, () => resync.abort());
    try {
      const signal = AbortSignal.any([this.#stopping.signal, resync.signal]);
      for await (const { taskID } of runtime.events(signal)) {
        this.#machines.get(taskID)?.markDirty();
      }
    } finally {
      timer.cancel();
    }
  }

  #learn(containers: readonly ContainerState[]): void {
    this.#containers = new Map(containers.map((container) => [container.taskID, container]));
    this.#reconcile();
    for (const [taskID, machine] of this.#machines) machine.observe(this.#containers.get(taskID));
    if (this.#told) this.#endOrphans();
    this.#notify();
  }

  #reconcile(): void {
    const containers = this.#containers;
    if (containers === undefined) return;
    const assigned = new Set<string>();
    for (const assignment of this.#assignments) {
      assigned.add(assignment.task.id);
      const machine = this.#machines.get(assignment.task.id);
      if (machine === undefined)
        this.#add(assignment, containers.get(assignment.task.id)?.containerID);
      else machine.assign(assignment);
    }
    for (const [taskID, machine] of this.#machines) {
      if (!assigned.has(taskID) && machine.assigned) machine.unassign();
    }
  }

  #add(assignment: TaskAssignment, containerID: string | undefined): void {
    const { id } = assignment.task;
    const remembered = this.#remembered[id];
    const { runtime, traffic, clock, log } = this.#components;
    const machine = new TaskMachine(
      { runtime, traffic, clock, log, surroundings: this.#surroundings },
      assignment,
      {
        ...(remembered === undefined ? {} : { status: remembered }),
        ...(containerID === undefined ? {} : { containerID }),
      },
    );
    this.#machines.set(id, machine);
    if (holdsPorts(assignment.task, machine.status.state)) {
      this.#components.restorePorts(assignment.task, machine.status);
    }
    if (machine.status.state !== assignment.task.status.state) {
      this.#surroundings.onStatus(id, machine.status);
    }
    machine.markDirty();
  }

  #endOrphans(): void {
    if (this.#containers === undefined) return;
    for (const container of this.#containers.values()) this.#endOrphan(container);
    const containers = [...this.#containers.keys()];
    this.#surroundings.keepFilesOf(new Set([...this.#machines.keys(), ...containers]));
  }

  /** A container whose task no machine leads: its assignment went while no daemon ran here. */
  #endOrphan({ taskID, containerID }: ContainerState): void {
    if (this.#machines.has(taskID) || this.#orphans.has(containerID)) return;
    const { runtime, log } = this.#components;
    log.info("a container whose task is gone is removed", { task: taskID });
    const ending = runtime
      .stop(containerID, { graceMs: DEFAULT_STOP_GRACE_MS })
      .then(() => runtime.remove(containerID))
      .catch((error: unknown) => log.warn("an orphan is not removed yet", { error }))
      .finally(() => {
        this.#orphans.delete(containerID);
        this.#notify();
      });
    this.#orphans.set(containerID, ending);
  }

  #onDone(taskID: string): void {
    const machine = this.#machines.get(taskID);
    if (machine === undefined || machine.assigned) return;
    this.#machines.delete(taskID);
    this.#components.surroundings.onDone(taskID);
    this.#notify();
  }

  #isEmpty(): boolean {
    return this.#containers !== undefined && this.#machines.size + this.#orphans.size === 0;
  }

  #notify(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }
}
