/** The scheduler's loop: gives pending tasks a node, PENDING -> ASSIGNED, or says why there is none. */
import type { Clock } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import { Reconciler, type Startable } from "../base/lifecycle.ts";
import type { Logger } from "../base/logger.ts";
import type { Change, Store, StoreEvent } from "../cluster/store.ts";
import { isOver } from "../cluster/task-lifecycle.ts";
import { planSchedule } from "./plan-schedule.ts";
import { RecentFailures } from "./recent-failures.ts";

export interface SchedulerComponents {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
}

export class Scheduler implements Startable {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #reconciler: Reconciler;
  readonly #failures = new RecentFailures();
  #unsubscribe = () => {};

  constructor(components: SchedulerComponents) {
    this.#store = components.store;
    this.#clock = components.clock;
    this.#log = components.log.child("scheduler");
    this.#reconciler = new Reconciler({
      pass: () => this.#reconcile(),
      onError: (error) => this.#log.error("scheduling failed", { error: messageOf(error) }),
    });
  }

  start(): void {
    this.#unsubscribe = this.#store.subscribe((event) => this.#onEvent(event));
    this.#reconciler.markDirty();
  }

  async stop(): Promise<void> {
    this.#unsubscribe();
    await this.#reconciler.stop();
  }

  #onEvent(event: StoreEvent): void {
    for (const change of event.changes) this.#recordFailure(change);
    if (event.changes.some(concerns)) this.#reconciler.markDirty();
  }

  #recordFailure(change: Change): void {
    if (change.kind !== "task" || change.action !== "update") return;
    const { object, old } = change;
    if (object.status.state === old.status.state) return;
    if (object.status.state === "failed" || object.status.state === "rejected") {
      this.#failures.record(object, this.#clock.monotonic());
    }
  }

  async #reconcile(): Promise<void> {
    await this.#store.update((tx) => {
      // Failures are counted by the clock that is never set.
      const monotonicMs = this.#clock.monotonic();
      this.#failures.prune(monotonicMs);
      const plan = planSchedule(tx, this.#failures, this.#clock.now(), monotonicMs);
      for (const task of plan) tx.put("task", task);
    });
  }
}

/** A task that became pending, a node that is another, or a task that gave back what it held. */
function concerns(change: Change): boolean {
  if (change.kind === "node") return true;
  if (change.kind !== "task") return false;
  if (change.action !== "update") return true;
  const { object, old } = change;
  if (object.status.state === "pending") return old.status.state !== "pending";
  return isOver(object) && !isOver(old);
}
