/**
 * Promise 3: a task is stopped only after every reachable node has confirmed that it sends no new
 * connection there. Until then its assignment still says `running`. Pure; the dispatcher brings the facts.
 */
import type { TaskID } from "../base/ids.ts";

/**
 * At the bound the task is stopped all the same: a node that does not confirm cannot hold an operation for ever.
 * One that cannot be reached is not waited for; this is for those that live and are slow, as on a host whose
 * processors are all taken, where stopping early would cost requests.
 */
export const HOLD_MS_MAX = 15_000;

export interface Hold {
  /** The first endpoint revision that leaves the task out of the live endpoints. */
  readonly revision: number;
  /** Monotonic milliseconds. */
  readonly until: number;
  /** Once let go it stays so: a node that connects later must not call a stopping task back. */
  readonly released: boolean;
}

export type Holds = ReadonlyMap<TaskID, Hold>;

export interface HoldFacts {
  /** Tasks that must stop, still run, and had connections led to them. Whoever is not in here is forgotten. */
  readonly stopping: Iterable<TaskID>;
  /** The mesh's revision now: in it none of `stopping` is live. */
  readonly revision: number;
  /** What each live session's kernel has confirmed; dead ones are not asked. */
  readonly applied: readonly number[];
  readonly now: number;
}

export function planHolds(before: Holds, facts: HoldFacts): Holds {
  const confirmed = Math.min(...facts.applied);
  const after = new Map<TaskID, Hold>();
  for (const taskID of facts.stopping) {
    const hold = before.get(taskID) ?? {
      revision: facts.revision,
      until: facts.now + HOLD_MS_MAX,
      released: false,
    };
    const released = hold.released || confirmed >= hold.revision || facts.now >= hold.until;
    after.set(taskID, { ...hold, released });
  }
  return after;
}

/** Tasks that must not be told to stop yet. */
export function heldTasks(holds: Holds): ReadonlySet<TaskID> {
  return new Set([...holds].filter(([, hold]) => !hold.released).map(([taskID]) => taskID));
}

/** When the next hold runs out; undefined when nothing is held. */
export function nextHoldDeadline(holds: Holds): number | undefined {
  const deadlines = [...holds.values()].filter((hold) => !hold.released).map(({ until }) => until);
  return deadlines.length === 0 ? undefined : Math.min(...deadlines);
}
