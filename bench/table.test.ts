import assert from "node:assert/strict";
import { test } from "node:test";
import { figure, mebibytes, milliseconds, renderTable, spreadOf } from "./table.ts";

test("columns are as wide as their widest cell, and no line ends in blanks", () => {
  const columns = [{ title: "path", align: "left" as const }, { title: "rate" }];
  const rows = [
    ["routed", "70,200"],
    ["a longer one", ""],
  ];
  assert.equal(
    renderTable(columns, rows),
    ["path            rate", "routed        70,200", "a longer one"].join("\n"),
  );
});

test("figures have three digits that count", () => {
  for (const [value, text] of [
    [70_234, "70,200"],
    [1_234_567, "1,230,000"],
    [999.6, "1,000"],
    [100.4, "100"],
    [28.449, "28.4"],
    [0.012345, "0.0123"],
    [0, "0"],
    [Number.NaN, "–"],
  ] as const) {
    assert.equal(figure(value), text);
  }
});

test("times are written in the unit that suits them", () => {
  assert.deepEqual([0.85, 12.34, 1_420, Number.NaN].map(milliseconds), [
    "850 µs",
    "12.3 ms",
    "1.42 s",
    "–",
  ]);
});

test("spreads and sizes", () => {
  assert.equal(spreadOf({ median: 200, spread: 5 }), "±3 %");
  assert.equal(spreadOf({ median: 0, spread: 5 }), "");
  assert.equal(mebibytes(160 * 2 ** 20), "160 MiB");
});
