/**
 * Deletes tasks that nobody needs any more: those to be removed, once they are over, and the oldest of a
 * slot beyond the cluster's history limit. A task that may still run somewhere is never deleted.
 */
import { messageOf } from "../base/errors.ts";
import { Reconciler, type Startable } from "../base/lifecycle.ts";
import type { Logger } from "../base/logger.ts";
import { findCluster } from "../cluster/finders.ts";
import type { Task } from "../cluster/objects.ts";
import type { Change, Snapshot, Store, StoreEvent } from "../cluster/store.ts";
import { isOver, isWanted } from "../cluster/task-lifecycle.ts";
import { byAge, slotKeyOf } from "./slots.ts";

/** Docker's default of `--task-history-limit`. */
const HISTORY_LIMIT = 5;

export interface TaskReaperComponents {
  readonly store: Store;
  readonly log: Logger;
}

export class TaskReaper implements Startable {
  readonly #store: Store;
  readonly #log: Logger;
  readonly #reconciler: Reconciler;
  #dirty = new Set<string>();
  #unsubscribe = () => {};

  constructor(components: TaskReaperComponents) {
    this.#store = components.store;
    this.#log = components.log.child("task-reaper");
    this.#reconciler = new Reconciler({
      pass: () => this.#reconcile(),
      onError: (error) => this.#log.error("reaping failed", { error: messageOf(error) }),
    });
  }

  start(): void {
    this.#unsubscribe = this.#store.subscribe((event) => this.#onEvent(event));
    this.#markAll();
  }

  async stop(): Promise<void> {
    this.#unsubscribe();
    await this.#reconciler.stop();
  }

  #onEvent(event: StoreEvent): void {
    for (const change of event.changes) {
      if (change.kind === "cluster") this.#markAll();
      else for (const serviceID of this.#servicesConcernedBy(change)) this.#dirty.add(serviceID);
    }
    if (this.#dirty.size > 0) this.#reconciler.markDirty();
  }

  #servicesConcernedBy(change: Change): readonly string[] {
    if (change.kind === "task") return mayBeSurplus(change) ? [change.object.serviceID] : [];
    if (change.kind !== "node" || change.action !== "remove") return [];
    return this.#store
      .view()
      .tasksOfNode(change.object.id)
      .map(({ serviceID }) => serviceID);
  }

  #markAll(): void {
    for (const task of this.#store.view().list("task")) this.#dirty.add(task.serviceID);
    this.#reconciler.markDirty();
  }

  async #reconcile(): Promise<void> {
    const serviceIDs = this.#dirty;
    this.#dirty = new Set();
    try {
      await this.#store.update((tx) => {
        const limit =
          findCluster(tx)?.spec.orchestration.taskHistoryRetentionLimit ?? HISTORY_LIMIT;
        for (const serviceID of serviceIDs) {
          for (const task of planReaping(tx, serviceID, limit)) tx.delete("task", task.id);
        }
      });
    } catch (error) {
      for (const serviceID of serviceIDs) this.#dirty.add(serviceID);
      throw error;
    }
  }
}

/** One more in its slot, one that is wanted no more, or one that is over: the rest of a task's life frees nothing. */
function mayBeSurplus(change: Extract<Change, { readonly kind: "task" }>): boolean {
  if (change.action !== "update") return change.action === "create";
  const { object, old } = change;
  return object.desiredState !== old.desiredState || isOver(object) !== isOver(old);
}

/** The service's tasks that are to be deleted; a negative limit keeps all history. */
export function planReaping(snapshot: Snapshot, serviceID: string, limit: number): readonly Task[] {
  const removed: Task[] = [];
  const bySlot = new Map<string, Task[]>();
  for (const task of snapshot.tasksOfService(serviceID)) {
    if (isOrphan(snapshot, task) || (task.desiredState === "remove" && isOver(task))) {
      removed.push(task);
    } else if (task.desiredState !== "remove") {
      const key = slotKeyOf(task);
      const slot = bySlot.get(key);
      if (slot === undefined) bySlot.set(key, [task]);
      else slot.push(task);
    }
  }
  if (limit < 0) return removed;
  return [...removed, ...[...bySlot.values()].flatMap((slot) => surplus(slot, limit))];
}

/** The limit counts the running one too; the newest is kept whatever it is, it says how the slot ended. */
function surplus(slot: Task[], limit: number): readonly Task[] {
  const excess = slot.length - Math.max(1, limit);
  if (excess <= 0) return [];
  const isHistory = (task: Task) => !isWanted(task) && isOver(task);
  return slot.sort(byAge).slice(0, -1).filter(isHistory).slice(0, excess);
}

/** Not wanted, and its node was removed from the cluster: nobody will ever say that it ended. */
function isOrphan(snapshot: Snapshot, task: Task): boolean {
  const { nodeID } = task;
  return !isWanted(task) && nodeID !== undefined && snapshot.get("node", nodeID) === undefined;
}
