/** Durations: nanoseconds on Docker's wire (Go's time.Duration), milliseconds inside. */
export const NANOSECONDS_PER_MILLISECOND = 1_000_000;

export function millisecondsOf(nanoseconds: number): number {
  return nanoseconds / NANOSECONDS_PER_MILLISECOND;
}

export function nanosecondsOf(milliseconds: number): number {
  return Math.round(milliseconds * NANOSECONDS_PER_MILLISECOND);
}
