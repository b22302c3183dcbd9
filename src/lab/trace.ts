/** Timing of the lab's steps on stderr, with WEFT_LAB_TRACE=1. */
const enabled = process.env["WEFT_LAB_TRACE"] === "1";

/** Runs one step and, when traced, says how long it took. */
export async function traced<Result>(step: string, action: () => Promise<Result>): Promise<Result> {
  if (!enabled) return action();
  const startedAt = performance.now();
  try {
    return await action();
  } finally {
    const tookMs = Math.round(performance.now() - startedAt);
    process.stderr.write(`lab ${String(tookMs).padStart(6)} ms  ${step}\n`);
  }
}
