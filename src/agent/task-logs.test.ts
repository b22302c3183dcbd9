import assert from "node:assert/strict";
import { it } from "node:test";
import { splitTimestamp } from "./task-logs.ts";

const TIME = "2026-11-23T15:13:43.123456789Z";
const ROWS = [
  [`${TIME} hello\n`, TIME, "hello\n"],
  [`${TIME} \n`, TIME, "\n"],
  ["2026-11-23T15:13:43.1+01:00 east\n", "2026-11-23T15:13:43.1+01:00", "east\n"],
  ["goes on without a time", undefined, "goes on without a time"],
  [`${"x".repeat(100)} far`, undefined, `${"x".repeat(100)} far`],
  [" leading", undefined, " leading"],
  ["", undefined, ""],
] as const;

for (const [line, timestamp, data] of ROWS) {
  it(`reads ${JSON.stringify(line.slice(0, 40))}`, () => {
    const read = splitTimestamp(Buffer.from(line));
    assert.equal(read.timestamp, timestamp);
    assert.equal(Buffer.from(read.data).toString(), data);
  });
}
