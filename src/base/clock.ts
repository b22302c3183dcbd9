/**
 * Time as a component, so that what waits can be tested without waiting and cores can be replayed.
 * Timers have names: `pending()` of a fake clock prints what a program is waiting for.
 */
export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds since the Unix epoch. For what is shown or stored; it may jump. */
  now(): number;
  /** Milliseconds that never go back. For measuring and deadlines. */
  monotonic(): number;
  /** Calls `callback` once after `delayMs`. The timer does not keep the process alive by itself. */
  timer(name: string, delayMs: number, callback: () => void): Timer;
}

/** What Node.js' timers can wait at most; asked for more they fire at once, so longer waits are made of several. */
export const TIMEOUT_MS_MAX = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  timer(_name, delayMs, callback) {
    let handle: NodeJS.Timeout;
    const wait = (leftMs: number) => {
      const stepMs = Math.min(leftMs, TIMEOUT_MS_MAX);
      handle = setTimeout(() => (leftMs > stepMs ? wait(leftMs - stepMs) : callback()), stepMs);
      handle.unref();
    };
    // What is overdue is due now: Node.js warns of a negative delay.
    wait(Math.max(0, delayMs));
    return { cancel: () => clearTimeout(handle) };
  },
};

/** Resolves after `delayMs`, or rejects with the signal's reason when it is aborted first. */
export function delay(clock: Clock, name: string, delayMs: number, signal?: AbortSignal) {
  return new Promise<void>((resolve, reject) => {
    signal?.throwIfAborted();
    const timer = clock.timer(name, delayMs, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    function onAbort() {
      timer.cancel();
      reject(signal?.reason);
    }
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

interface FakeTimer {
  readonly name: string;
  readonly at: number;
  readonly sequence: number;
  readonly callback: () => void;
}

/** A clock that moves only when told. Timers due at one instant fire in the order they were set. */
export class FakeClock implements Clock {
  #now: number;
  #setBy = 0;
  #sequence = 0;
  readonly #timers = new Set<FakeTimer>();

  constructor(startMs = 1_700_000_000_000) {
    this.#now = startMs;
  }
  now(): number {
    return this.#now + this.#setBy;
  }
  monotonic(): number {
    return this.#now;
  }
  /** As when somebody sets the host's clock: what is timed goes on, the time of day is another. */
  set(byMs: number): void {
    this.#setBy += byMs;
  }
  timer(name: string, delayMs: number, callback: () => void): Timer {
    const entry = { name, at: this.#now + delayMs, sequence: this.#sequence++, callback };
    this.#timers.add(entry);
    return { cancel: () => void this.#timers.delete(entry) };
  }
  /** Names of the timers that are set, the next one first. */
  pending(): string[] {
    return this.#sorted().map((entry) => entry.name);
  }
  advance(byMs: number): void {
    const until = this.#now + byMs;
    for (;;) {
      const next = this.#sorted()[0];
      if (next === undefined || next.at > until) break;
      this.#timers.delete(next);
      this.#now = next.at;
      next.callback();
    }
    this.#now = until;
  }
  #sorted(): FakeTimer[] {
    return [...this.#timers].sort((a, b) => a.at - b.at || a.sequence - b.sequence);
  }
}
