/** All filters of one task in a row, and the sentence for the user when no node passes them. */
import type { Task } from "../cluster/objects.ts";
import { FILTERS, type Filter } from "./filters.ts";
import type { NodeInfo } from "./node-info.ts";

export class Pipeline {
  readonly #checks: readonly { readonly filter: Filter; refusals: number }[];

  constructor(task: Task) {
    this.#checks = FILTERS.flatMap((factory) => {
      const filter = factory(task);
      return filter === undefined ? [] : [{ filter, refusals: 0 }];
    });
  }

  /** Asks each filter until one refuses, and remembers which. */
  accepts(info: NodeInfo): boolean {
    for (const check of this.#checks) {
      if (check.filter.accepts(info)) continue;
      check.refusals++;
      return false;
    }
    return true;
  }

  /** Why no node was suitable, since the last `reset`; the commonest reason first. */
  explain(): string {
    const reasons = this.#checks
      .filter(({ refusals }) => refusals > 0)
      .sort((a, b) => b.refusals - a.refusals)
      .map(({ filter, refusals }) => filter.explain(refusals));
    return reasons.length === 0 ? "no suitable node" : `no suitable node (${reasons.join("; ")})`;
  }

  reset(): void {
    for (const check of this.#checks) check.refusals = 0;
  }
}
