/**
 * How long ago something was that the store has only a time of day for. The host's clock may be set meanwhile, by
 * years where it had lost its time: a delay that was begun goes on by the monotonic clock, which is never set.
 */

export interface Moment {
  /** Milliseconds since the epoch, as the store's times are made from. */
  readonly nowMs: number;
  /** Milliseconds that never go back, from any beginning. */
  readonly monotonicMs: number;
}

export class Delays {
  /** By object and time of day, the monotonic time that it was. */
  readonly #known = new Map<string, Map<number, number>>();

  /** When this time of day of an object's was, by the monotonic clock. One to come is now: its clock was set back. */
  since(id: string, timeMs: number, { nowMs, monotonicMs }: Moment): number {
    const known = this.#known.get(id) ?? new Map<number, number>();
    const since = known.get(timeMs) ?? monotonicMs - Math.max(0, nowMs - timeMs);
    this.#known.set(id, known.set(timeMs, since));
    return since;
  }

  /** The object is gone. */
  forget(id: string): void {
    this.#known.delete(id);
  }
}
