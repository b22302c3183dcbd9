/**
 * When the next try at a session is due: later after each failure, as most ends are a manager's restart and some are
 * for long; soon when somebody says that a manager is there again.
 */
import type { Clock, Timer } from "../base/clock.ts";
import type { Random } from "../base/random.ts";

/** The first try comes soon, since most ends are a manager's restart; the last ones are this far apart, for ever. */
const RETRY_MS_MIN = 100;
const RETRY_MS_MAX = 5_000;

export interface SessionRetryComponents {
  readonly clock: Clock;
  readonly random: Random;
  readonly onDue: () => void;
}

export class SessionRetry {
  readonly #components: SessionRetryComponents;
  #failures = 0;
  #due: { readonly at: number; readonly timer: Timer } | undefined;

  constructor(components: SessionRetryComponents) {
    this.#components = components;
  }

  /** One more has failed; in how many milliseconds the next is due. */
  fail(): number {
    const ceilingMs = Math.min(RETRY_MS_MIN * 2 ** this.#failures++, RETRY_MS_MAX);
    return this.#within(ceilingMs * (0.5 + 0.5 * this.#components.random.next()));
  }

  /** One has lasted, or the reason of the failures is over: the next failure is the first again. */
  forgive(): void {
    this.#failures = 0;
  }

  /** The next is due within this time: at a random moment of it, since all nodes are told at once. */
  hasten(withinMs: number): void {
    this.#within(Math.min(withinMs, RETRY_MS_MAX) * this.#components.random.next());
  }

  cancel(): void {
    this.#due?.timer.cancel();
    this.#due = undefined;
  }

  /** What is due sooner stays so. How long it is until then. */
  #within(delayMs: number): number {
    const { clock, onDue } = this.#components;
    const now = clock.monotonic();
    if (this.#due !== undefined && this.#due.at <= now + delayMs) return this.#due.at - now;
    this.cancel();
    const timer = clock.timer("session retry", delayMs, () => {
      this.#due = undefined;
      onDue();
    });
    this.#due = { at: now + delayMs, timer };
    return delayMs;
  }
}
