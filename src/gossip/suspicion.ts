/** How long a suspect still has: the more members suspect it on their own, the shorter (Lifeguard §IV.B). */
export interface Suspicion {
  readonly startedAt: number;
  /** Who raised it; the same member's word does not confirm it. */
  readonly from: string;
  readonly confirmations: readonly string[];
  /** How many confirmations shorten it all the way. */
  readonly wanted: number;
  readonly timeoutMsMin: number;
  readonly timeoutMsMax: number;
  /** Whether this node has told the suspect itself, on top of the news that goes around. */
  readonly told: boolean;
}

/**
 * Milliseconds until the suspect is dead, 0 or less when it is.
 * timeout = max - (max - min) · log(confirmations + 1) / log(wanted + 1), never less than min.
 */
export function remainingSuspicionTime(suspicion: Suspicion, now: number): number {
  const { startedAt, confirmations, wanted, timeoutMsMin, timeoutMsMax } = suspicion;
  const share = wanted < 1 ? 1 : Math.log(confirmations.length + 1) / Math.log(wanted + 1);
  const timeoutMs = timeoutMsMax - (timeoutMsMax - timeoutMsMin) * share;
  return Math.max(timeoutMsMin, timeoutMs) - (now - startedAt);
}

/** When the suspect is told directly: in time for its refutation, should the news have missed one of the two. */
export function tellsAt({ startedAt, timeoutMsMin }: Suspicion): number {
  return startedAt + timeoutMsMin / 2;
}

/** The suspicion with `from`'s word added; undefined when that is nothing new. */
export function confirm(suspicion: Suspicion, from: string): Suspicion | undefined {
  const { confirmations, wanted } = suspicion;
  if (confirmations.length >= wanted) return undefined;
  if (from === suspicion.from || confirmations.includes(from)) return undefined;
  return { ...suspicion, confirmations: [...confirmations, from] };
}
