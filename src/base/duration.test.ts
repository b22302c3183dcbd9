import assert from "node:assert/strict";
import { it } from "node:test";
import { parseDuration } from "./duration.ts";

const rows: readonly [string, number | undefined][] = [
  ["30s", 30_000],
  ["1m30s", 90_000],
  ["1.5h", 5_400_000],
  ["250ms", 250],
  [".5s", 500],
  ["0", 0],
  ["0s", 0],
  ["", undefined],
  ["30", undefined],
  ["-1s", undefined],
  ["1s later", undefined],
  ["s", undefined],
];
for (const [text, expected] of rows) {
  it(`"${text}" is ${expected === undefined ? "no duration" : `${expected} ms`}`, () =>
    assert.equal(parseDuration(text), expected));
}
