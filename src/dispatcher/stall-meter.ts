/**
 * How much time this process itself has lost: to a busy loop, a starved processor, a suspended machine. What
 * others sent meanwhile waits to be read, so that time must not be held against them.
 */
import type { Clock, Timer } from "../base/clock.ts";

const TICK_MS = 250;
/** Timers are always a little late, the more so on a busy machine; that alone delays no verdict. */
const TOLERANCE_MS = 100;

export class StallMeter {
  readonly #clock: Clock;
  #timer: Timer | undefined;
  #dueAt = 0;
  #lostMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#arm();
  }

  /** Milliseconds lost since it was made; only differences mean something. */
  lostMs(): number {
    return this.#lostMs + this.#latenessMs();
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #arm(): void {
    this.#dueAt = this.#clock.monotonic() + TICK_MS;
    this.#timer = this.#clock.timer("stall meter", TICK_MS, () => {
      this.#lostMs += this.#latenessMs();
      this.#arm();
    });
  }

  #latenessMs(): number {
    const late = this.#clock.monotonic() - this.#dueAt;
    return late > TOLERANCE_MS ? late : 0;
  }
}
