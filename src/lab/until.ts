/**
 * The one way tests and the lab wait for a process that cannot tell us when it is ready: look,
 * pause shortly, look again, and give up at a deadline with the reason.
 */
import { setTimeout as pause } from "node:timers/promises";
import { messageOf, UnavailableError } from "../base/errors.ts";

export interface UntilOptions {
  /** What is waited for, to finish the sentence "timed out waiting for …". */
  readonly what: string;
  readonly timeoutMs?: number;
  readonly intervalMs?: number;
}

/** What has taken long is looked for less often: each pause is at least this share of the time until then … */
const PAUSE_SHARE = 0.1;
/** … and no longer than this. */
const PAUSE_MS_MAX = 400;

/**
 * Resolves with the first truthy value of `look`; a look that throws counts as "not yet". The
 * error at the deadline shows the last value or error seen.
 */
export async function until<Value>(
  look: () => Value | Promise<Value>,
  { what, timeoutMs = 30_000, intervalMs = 20 }: UntilOptions,
): Promise<Exclude<Value, false | undefined | null | 0 | "">> {
  const startedAt = performance.now();
  let last: string;
  for (;;) {
    try {
      const value = await look();
      if (value) return value as Exclude<Value, false | undefined | null | 0 | "">;
      last = `last seen: ${JSON.stringify(value)}`;
    } catch (error) {
      last = `last error: ${messageOf(error)}`;
    }
    const elapsedMs = performance.now() - startedAt;
    if (elapsedMs >= timeoutMs) {
      throw new UnavailableError(`timed out after ${timeoutMs} ms waiting for ${what} (${last})`);
    }
    await pause(Math.max(intervalMs, Math.min(elapsedMs * PAUSE_SHARE, PAUSE_MS_MAX)));
  }
}

const BLOCKING_PAUSE_MS = 5;
const BLOCKING_WAIT_MS = 10_000;

/** As `until`, blocking the process: only for cleaning up, which must also work while it exits. */
export function untilBlocking(look: () => boolean, what: string): void {
  const cell = new Int32Array(new SharedArrayBuffer(4));
  const deadline = performance.now() + BLOCKING_WAIT_MS;
  while (!look()) {
    if (performance.now() >= deadline) {
      throw new UnavailableError(`timed out after ${BLOCKING_WAIT_MS} ms waiting for ${what}`);
    }
    Atomics.wait(cell, 0, 0, BLOCKING_PAUSE_MS);
  }
}
