/** Durations: nanoseconds on Docker's wire (Go's time.Duration), milliseconds inside. */
export const NANOSECONDS_PER_MILLISECOND = 1_000_000;

export function millisecondsOf(nanoseconds: number): number {
  return nanoseconds / NANOSECONDS_PER_MILLISECOND;
}

const UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};

/** Milliseconds of a duration as Go writes it, "1m30s" or "0"; undefined when it is none, or negative. */
export function parseDuration(text: string): number | undefined {
  if (text === "0") return 0;
  if (text === "") return undefined;
  let rest = text;
  let total = 0;
  while (rest !== "") {
    const match = /^(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)/.exec(rest);
    if (match === null) return undefined;
    const [part, amount = "", unit = ""] = match;
    total += Number(amount) * (UNIT_MS[unit] ?? 0);
    rest = rest.slice(part.length);
  }
  return total;
}
