import assert from "node:assert/strict";
import { test } from "node:test";
import { drawPaths } from "./chart.ts";
import type { LoadResult, PathResult } from "./paths/measure.ts";

test("the longest bar with its whisker fills the room, the others are in proportion", () => {
  const svg = drawPaths([makeLoad({ paths: [makePath("a", 90, 10), makePath("b", 45, 0)] })], "");
  const widths = [...svg.matchAll(/<rect[^>]* width="([\d.]+)"/g)].map(([, width]) =>
    Number(width),
  );
  assert.equal(widths.length, 2);
  assert.equal((widths[0] ?? 0) / (widths[1] ?? 1), 2);
  const whiskerEnd = Number(/whisker" d="M[\d.]+ [\d.]+H([\d.]+)"/.exec(svg)?.[1]);
  assert.equal(whiskerEnd - 176, 418);
});

test("loads at a given rate are left out", () => {
  const svg = drawPaths([makeLoad({ isPaced: true, title: "paced" })], "");
  assert.ok(!svg.includes("paced"));
});

test("names are text, whatever is in them", () => {
  assert.match(drawPaths([makeLoad({ title: "a<b & c" })], ""), /a&lt;b &amp; c, requests\/s/);
});

test("a path that did nothing has a bar of no length", () => {
  assert.ok(!drawPaths([makeLoad({ paths: [makePath("a", 0, 0)] })], "").includes("NaN"));
});

function makeLoad(overrides: Partial<LoadResult>): LoadResult {
  return {
    load: "load",
    title: "a load",
    unit: "requests/s",
    cpuUnit: "µs/request",
    isPaced: false,
    paths: [makePath("a", 1, 0)],
    ...overrides,
  };
}

function makePath(path: string, median: number, spread: number): PathResult {
  const summary = { median, spread, runs: 3 };
  return {
    path,
    limit: undefined,
    rate: summary,
    cpu: summary,
    rateRatio: undefined,
    cpuRatio: undefined,
    failed: 0,
    latency: undefined,
  };
}
