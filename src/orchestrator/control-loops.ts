/** The loops that every leading manager runs over its store, in one handle. None of them calls another: all meet in the store. */
import { Allocator } from "../allocator/allocator.ts";
import type { Clock } from "../base/clock.ts";
import type { Startable } from "../base/lifecycle.ts";
import type { Logger } from "../base/logger.ts";
import type { Store } from "../cluster/store.ts";
import { Scheduler } from "../scheduler/scheduler.ts";
import { Orchestrator } from "./orchestrator.ts";
import { TaskReaper } from "./task-reaper.ts";

export interface ControlLoopsComponents {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
}

export class ControlLoops implements Startable {
  readonly #loops: readonly Startable[];

  constructor(components: ControlLoopsComponents) {
    this.#loops = [
      new Orchestrator(components),
      new Allocator(components),
      new Scheduler(components),
      new TaskReaper(components),
    ];
  }

  start(): void {
    for (const loop of this.#loops) void loop.start();
  }

  async stop(): Promise<void> {
    await Promise.all(this.#loops.map((loop) => loop.stop()));
  }
}

/** Makes and starts them. */
export function startControlLoops(components: ControlLoopsComponents): Startable {
  const loops = new ControlLoops(components);
  loops.start();
  return loops;
}
