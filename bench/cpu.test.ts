import assert from "node:assert/strict";
import { test } from "node:test";
import { parseCPUTime, readCPUTime } from "./cpu.ts";

test("busy is everything but idle, waiting for disks, and what was stolen; guests are in user already", () => {
  const stat = "cpu  100 20 300 4000 500 6 70 8 900 10\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
  assert.deepEqual(parseCPUTime(stat), { busyS: 4.96, stolenS: 0.08 });
});

test("this machine's own counts can be read", () => {
  assert.ok(readCPUTime().busyS > 0);
});
