import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import {
  type Histogram,
  histogramOf,
  median,
  mergeHistograms,
  pairedRatio,
  percentile,
  quantile,
  rotated,
  summarize,
} from "./stats.ts";

const numbers = fc.array(fc.integer({ min: -1_000, max: 1_000 }), { minLength: 1, maxLength: 30 });

test("the median of an even number of values lies between the two in the middle", () => {
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.equal(median([7]), 7);
  assert.ok(Number.isNaN(median([])));
});

test("quantiles lie within the values, and grow with their share", () => {
  fc.assert(
    fc.property(numbers, fc.double({ min: 0, max: 1, noNaN: true }), (values, share) => {
      const found = quantile(values, share);
      assert.ok(found >= Math.min(...values) && found <= Math.max(...values));
      assert.ok(quantile(values, share / 2) <= found);
    }),
  );
});

test("the order of the runs makes no difference", () => {
  fc.assert(
    fc.property(numbers, (values) => {
      assert.deepEqual(summarize(values), summarize([...values].reverse()));
    }),
  );
});

test("a spread is half of what lies between the quartiles", () => {
  assert.deepEqual(summarize([10, 20, 30, 40, 50]), { median: 30, spread: 10, runs: 5 });
  assert.equal(summarize([5, 5, 5]).spread, 0);
});

test("drift that is common to both paths leaves the paired ratio alone", () => {
  const limit = [100, 50, 200, 80];
  const path = limit.map((value) => value * 0.9);
  const ratio = pairedRatio(path, limit);
  assert.equal(ratio?.median.toFixed(3), "0.900");
  assert.equal(ratio?.spread.toFixed(3), "0.000");
});

test("a round that one of the two lacks is no pair", () => {
  assert.deepEqual(pairedRatio([50, undefined, 30], [100, 100]), {
    median: 0.5,
    spread: 0,
    runs: 1,
  });
  assert.equal(pairedRatio([undefined], [1]), undefined);
  assert.equal(pairedRatio([1], [0]), undefined);
});

test("percentiles of merged histograms are those of all samples", () => {
  const samples = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 60 });
  const share = fc.constantFrom(0.5, 0.99, 0.999, 1);
  fc.assert(
    fc.property(samples, samples, share, (one, other, at) => {
      const merged = mergeHistograms([histogramFrom(one), histogramFrom(other)]);
      const all = [...one, ...other].sort((a, b) => a - b);
      assert.equal(percentile(merged, at), all[Math.ceil(all.length * at) - 1]);
    }),
  );
});

test("a histogram made from percentages has them", () => {
  const histogram = histogramOf(
    [
      [50, 100],
      [99, 200],
      [99.9, 900],
      [100, 1_000],
    ],
    2_000,
  );
  assert.equal(Math.round(histogram.reduce((sum, [, count]) => sum + count, 0)), 2_000);
  for (const [share, value] of [
    [0.4, 100],
    [0.98, 200],
    [0.995, 900],
    [1, 1_000],
  ] as const) {
    assert.equal(percentile(histogram, share), value);
  }
});

test("a percentile of nothing is no number", () => {
  assert.ok(Number.isNaN(percentile([], 0.5)));
});

test("every path is first once", () => {
  const paths = ["a", "b", "c"];
  assert.deepEqual(
    [0, 1, 2, 3].map((round) => rotated(paths, round).join("")),
    ["abc", "bca", "cab", "abc"],
  );
  assert.deepEqual(rotated([], 3), []);
});

function histogramFrom(samples: readonly number[]): Histogram {
  return samples.map((value) => [value, 1]);
}
