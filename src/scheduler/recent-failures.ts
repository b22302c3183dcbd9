/** Nodes on which a service's tasks failed again and again lately: they are tried last. */
import type { Task } from "../cluster/objects.ts";

/** A node with this many failures of one service within the window is avoided while others will do. */
export const FAILURES_MAX = 5;
export const FAILURE_WINDOW_MS = 5 * 60_000;

export class RecentFailures {
  readonly #times = new Map<string, number[]>();

  /** Only the newest FAILURES_MAX are kept: more of them would not change the answer. */
  record(task: Task, nowMs: number): void {
    if (task.nodeID === undefined) return;
    const key = keyOf(task, task.nodeID);
    const times = [...(this.#times.get(key) ?? []), nowMs].slice(-FAILURES_MAX);
    this.#times.set(key, times);
  }

  count(task: Task, nodeID: string, nowMs: number): number {
    const times = this.#times.get(keyOf(task, nodeID)) ?? [];
    return times.filter((time) => time > nowMs - FAILURE_WINDOW_MS).length;
  }

  /** Drops what no longer counts, so that the memory is bounded by what failed within the window. */
  prune(nowMs: number): void {
    for (const [key, times] of this.#times) {
      if ((times.at(-1) ?? 0) <= nowMs - FAILURE_WINDOW_MS) this.#times.delete(key);
    }
  }
}

/** A new spec begins with a clean slate. */
function keyOf(task: Task, nodeID: string): string {
  return `${task.serviceID}/${task.specVersion.index}/${nodeID}`;
}
