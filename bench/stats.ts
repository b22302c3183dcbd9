/** What many short runs say together. Pure; all of the benchmark's figures go through here. */

/** The middle of some runs, and how far they lie apart. */
export interface Summary {
  readonly median: number;
  /** Half the distance between the quartiles, in the unit of the median. */
  readonly spread: number;
  readonly runs: number;
}

/** Linear between the two nearest values; NaN of nothing. */
export function quantile(values: readonly number[], at: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const place = (sorted.length - 1) * at;
  const below = sorted[Math.floor(place)] ?? Number.NaN;
  const above = sorted[Math.ceil(place)] ?? Number.NaN;
  return below + (above - below) * (place - Math.floor(place));
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

export function summarize(values: readonly number[]): Summary {
  const spread = (quantile(values, 0.75) - quantile(values, 0.25)) / 2;
  return { median: median(values), spread, runs: values.length };
}

/**
 * How one path does beside another, round by round: what slows a round down slows both, so the ratio of
 * each round is steadier than the ratio of two medians. Rounds that only one of them has are left out.
 */
export function pairedRatio(
  values: readonly (number | undefined)[],
  limits: readonly (number | undefined)[],
): Summary | undefined {
  const ratios = values.flatMap((value, round) => {
    const limit = limits[round];
    return value === undefined || limit === undefined || limit === 0 ? [] : [value / limit];
  });
  return ratios.length === 0 ? undefined : summarize(ratios);
}

/** How often each value was met: latencies in microseconds. */
export type Histogram = readonly (readonly [value: number, count: number])[];

/** A histogram with as many samples from the percentages of them below some values, ascending and up to 100. */
export function histogramOf(
  quantiles: readonly (readonly [percent: number, value: number])[],
  samples: number,
): Histogram {
  let below = 0;
  return quantiles.map(([percent, value]) => {
    const count = ((percent - below) / 100) * samples;
    below = percent;
    return [value, count];
  });
}

export function mergeHistograms(histograms: readonly Histogram[]): Histogram {
  const counts = new Map<number, number>();
  for (const [value, count] of histograms.flat()) {
    counts.set(value, (counts.get(value) ?? 0) + count);
  }
  return [...counts].sort(([a], [b]) => a - b);
}

/** The smallest value that at least this share of all does not exceed; NaN of nothing. */
export function percentile(histogram: Histogram, share: number): number {
  const total = histogram.reduce((sum, [, count]) => sum + count, 0);
  let seen = 0;
  for (const [value, count] of [...histogram].sort(([a], [b]) => a - b)) {
    seen += count;
    if (seen >= total * share) return value;
  }
  return Number.NaN;
}

/** The order of a round: each begins one further, so that nobody is always first or always after the same one. */
export function rotated<Item>(items: readonly Item[], by: number): Item[] {
  const start = items.length === 0 ? 0 : by % items.length;
  return [...items.slice(start), ...items.slice(0, start)];
}
