import { messageOf } from "./errors.ts";

/** What goes on failing alike is reported again after this. */
const REPORT_AGAIN_MS = 60_000;

/** What runs until it is stopped. `stop()` resolves when nothing of it still runs; a second call is harmless. */
export interface Startable {
  start(): void | Promise<void>;
  stop(): Promise<void>;
}

/** Stops all of them, one after another, whatever fails on the way; then rejects with the first failure. */
export async function stopAll(stops: readonly (() => unknown)[]): Promise<void> {
  const failures: unknown[] = [];
  for (const stop of stops) {
    try {
      await stop();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}

/**
 * The loop every reconciler shares: events only mark it dirty; one pass runs at a time; marks that
 * arrive during a pass cause exactly one more. A pass that throws is reported and tried again after
 * `retryMs`, because desired state does not go away. What fails alike again and again is reported once a minute.
 */
export class Reconciler {
  /** What failed last, and when that was reported; undefined once a pass has succeeded. */
  #failure: { readonly text: string; readonly reportedAt: number } | undefined;
  readonly #pass: () => Promise<void>;
  readonly #onError: (error: unknown) => void;
  readonly #retryMs: number;
  #dirty = false;
  #stopped = false;
  #running: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;

  constructor(init: {
    readonly pass: () => Promise<void>;
    readonly onError: (error: unknown) => void;
    readonly retryMs?: number;
  }) {
    this.#pass = init.pass;
    this.#onError = init.onError;
    this.#retryMs = init.retryMs ?? 1_000;
  }

  markDirty(): void {
    if (this.#stopped) return;
    this.#dirty = true;
    this.#running ??= this.#run();
  }

  /** Resolves when no pass runs and none is due at once. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#retry);
    await this.idle();
  }

  async #run(): Promise<void> {
    // Start on the next turn, so that marks made in one burst of events are one pass.
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (this.#dirty && !this.#stopped) {
      this.#dirty = false;
      try {
        await this.#pass();
        this.#failure = undefined;
      } catch (error) {
        this.#report(error);
        clearTimeout(this.#retry);
        this.#retry = setTimeout(() => this.markDirty(), this.#retryMs);
        this.#retry.unref();
      }
    }
    this.#running = undefined;
  }

  #report(error: unknown): void {
    const [text, now] = [messageOf(error), performance.now()];
    const known = this.#failure;
    if (known?.text === text && now - known.reportedAt < REPORT_AGAIN_MS) return;
    this.#failure = { text, reportedAt: now };
    this.#onError(error);
  }
}
