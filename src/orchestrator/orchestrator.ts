/** The orchestrator's loop: makes each service's tasks and sets what is wanted of them; it never touches a task's status. */
import type { Clock, Timer } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import { Reconciler, type Startable } from "../base/lifecycle.ts";
import type { Logger } from "../base/logger.ts";
import { isTaskStateAtLeast, type Node, type ServiceMode, type Task } from "../cluster/objects.ts";
import { sameValue } from "../cluster/same-value.ts";
import type { Change, Snapshot, Store, StoreEvent } from "../cluster/store.ts";
import { Delays } from "./delays.ts";
import { isRefused } from "./handover.ts";
import { planService } from "./plan-service.ts";

export interface OrchestratorComponents {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Services planned in one transaction; the rest follow in the next pass, after what else waits for the store. */
const SERVICES_PER_PASS = 100;

export class Orchestrator implements Startable {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #reconciler: Reconciler;
  readonly #dirty = new Set<string>();
  readonly #deadlines = new Map<string, number>();
  readonly #delays = new Delays();
  #timer: Timer | undefined;
  #unsubscribe = () => {};

  constructor(components: OrchestratorComponents) {
    this.#store = components.store;
    this.#clock = components.clock;
    this.#log = components.log.child("orchestrator");
    this.#reconciler = new Reconciler({
      pass: () => this.#reconcile(),
      onError: (error) => this.#log.error("orchestration failed", { error: messageOf(error) }),
    });
  }

  start(): void {
    this.#unsubscribe = this.#store.subscribe((event) => this.#onEvent(event));
    const snapshot = this.#store.view();
    for (const service of snapshot.list("service")) this.#dirty.add(service.id);
    for (const task of snapshot.list("task")) this.#dirty.add(task.serviceID);
    this.#reconciler.markDirty();
  }

  async stop(): Promise<void> {
    this.#unsubscribe();
    this.#timer?.cancel();
    await this.#reconciler.stop();
    this.#timer?.cancel();
  }

  #onEvent(event: StoreEvent): void {
    const snapshot = this.#store.view();
    for (const change of event.changes) {
      for (const serviceID of servicesConcernedBy(change, snapshot)) this.#dirty.add(serviceID);
      if (change.action === "remove") this.#delays.forget(change.object.id);
    }
    if (this.#dirty.size > 0) this.#reconciler.markDirty();
  }

  async #reconcile(): Promise<void> {
    const serviceIDs = [...this.#dirty].slice(0, SERVICES_PER_PASS);
    for (const serviceID of serviceIDs) this.#dirty.delete(serviceID);
    try {
      const deadlines = await this.#store.update((tx) => {
        const nodes = new Map<string, Node>(tx.list("node").map((node) => [node.id, node]));
        const { nextRevision: nextVersion } = tx;
        return serviceIDs.map((serviceID) => {
          const moment = { nowMs: this.#clock.now(), monotonicMs: this.#clock.monotonic() };
          const delays = this.#delays;
          const plan = planService(tx, { serviceID, nodes, moment, delays, nextVersion });
          for (const task of plan.tasks) tx.put("task", task);
          if (plan.service !== undefined) tx.put("service", plan.service);
          return { serviceID, nextMs: plan.nextMs };
        });
      });
      for (const { serviceID, nextMs } of deadlines) this.#setDeadline(serviceID, nextMs);
    } catch (error) {
      for (const serviceID of serviceIDs) this.#dirty.add(serviceID);
      throw error;
    } finally {
      this.#armTimer();
    }
    if (this.#dirty.size > 0) this.#reconciler.markDirty();
  }

  #setDeadline(serviceID: string, nextMs: number | undefined): void {
    if (nextMs === undefined) this.#deadlines.delete(serviceID);
    else this.#deadlines.set(serviceID, nextMs);
  }

  #armTimer(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#deadlines.size === 0) return;
    const nextMs = [...this.#deadlines.values()].reduce((a, b) => Math.min(a, b));
    const delayMs = Math.max(0, nextMs - this.#clock.monotonic());
    this.#timer = this.#clock.timer("orchestrator deadline", delayMs, () => this.#onDeadline());
  }

  #onDeadline(): void {
    const now = this.#clock.monotonic();
    for (const [serviceID, atMs] of this.#deadlines) if (atMs <= now) this.#dirty.add(serviceID);
    if (this.#dirty.size > 0) this.#reconciler.markDirty();
    // A timer that fired early is set again.
    else this.#armTimer();
  }
}

function servicesConcernedBy(change: Change, snapshot: Snapshot): readonly string[] {
  switch (change.kind) {
    case "service":
      return [change.object.id];
    case "task":
      return change.action === "update" && !hasMoved(change.object, change.old)
        ? []
        : [change.object.serviceID];
    case "node": {
      if (change.action === "update" && isSameToTasks(change.object, change.old)) return [];
      const here = snapshot.tasksOfNode(change.object.id).map(({ serviceID }) => serviceID);
      const global = snapshot.list("service").filter(({ spec }) => isOnEveryNode(spec.mode));
      return [...here, ...global.map(({ id }) => id)];
    }
    case "network":
    case "cluster":
    case "secret":
    case "config":
    case "attachment":
      return [];
  }
}

function isOnEveryNode({ global, globalJob }: ServiceMode): boolean {
  return global !== undefined || globalJob !== undefined;
}

/** The steps before running are allocator's, scheduler's and agent's own. */
function hasMoved(task: Task, old: Task): boolean {
  if (task.desiredState !== old.desiredState) return true;
  if (isRefused(task) !== isRefused(old)) return true;
  const { state } = task.status;
  return state !== old.status.state && isTaskStateAtLeast(state, "running");
}

function isSameToTasks(node: Node, old: Node): boolean {
  return (
    node.status.state === old.status.state &&
    node.status.addr === old.status.addr &&
    sameValue(node.spec, old.spec) &&
    sameValue(node.description, old.description)
  );
}
