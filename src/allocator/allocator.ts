/** The allocator's loop: gives services ports, nodes numbers, and all of them addresses, then moves tasks NEW -> PENDING. */
import type { Clock } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import { Reconciler, type Startable } from "../base/lifecycle.ts";
import type { Logger } from "../base/logger.ts";
import type { Change, Store, StoreEvent } from "../cluster/store.ts";
import { isOver } from "../cluster/task-lifecycle.ts";
import { type AllocationCursors, planAllocation } from "./plan-allocation.ts";

export interface AllocatorComponents {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
}

export class Allocator implements Startable {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #reconciler: Reconciler;
  #cursors: AllocationCursors = { ports: {} };
  #problems: readonly string[] = [];
  #unsubscribe = () => {};

  constructor(components: AllocatorComponents) {
    this.#store = components.store;
    this.#clock = components.clock;
    this.#log = components.log.child("allocator");
    this.#reconciler = new Reconciler({
      pass: () => this.#reconcile(),
      onError: (error) => this.#log.error("allocation failed", { error: messageOf(error) }),
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
    if (event.changes.some(concerns)) this.#reconciler.markDirty();
  }

  async #reconcile(): Promise<void> {
    const plan = await this.#store.update((tx) => {
      const now = new Date(this.#clock.now()).toISOString();
      const planned = planAllocation(tx, this.#cursors, now);
      for (const service of planned.services) tx.put("service", service);
      for (const node of planned.nodes) tx.put("node", node);
      for (const task of planned.tasks) tx.put("task", task);
      for (const attachment of planned.attachments) tx.put("attachment", attachment);
      return planned;
    });
    this.#cursors = plan.cursors;
    for (const problem of plan.problems) {
      if (!this.#problems.includes(problem)) this.#log.warn("cannot allocate", { problem });
    }
    this.#problems = plan.problems;
  }
}

/** What asks for something, and what gives something back. The rest of a task's life is none of ours. */
function concerns(change: Change): boolean {
  if (change.kind !== "task") return change.kind !== "cluster";
  if (change.action === "update") return isOver(change.object) && !isOver(change.old);
  return true;
}
