import assert from "node:assert/strict";
import { test } from "node:test";
import { busyShareOf, parseSchedstat, parseUsage, readCPUTime } from "./cpu.ts";

test("what a control group has used", () => {
  assert.equal(parseUsage("usage_usec 1250000\nuser_usec 1000000\nsystem_usec 250000\n"), 1.25);
});

test("what a kernel thread has used", () => {
  assert.equal(parseSchedstat("2500000000 1000 17\n"), 2.5);
});

test("the share of the cores that worked leaves out idling and waiting for disks", () => {
  const before = "cpu  100 0 100 1000 0 0 0 0 0 0\ncpu0 1 2 3 4\n";
  const after = "cpu  130 5 110 1040 10 1 3 1 30 0\ncpu0 1 2 3 4\n";
  assert.equal(busyShareOf(before, after), 0.5);
  assert.equal(busyShareOf(before, before), 0);
});

test("nothing is measured before there is a group to measure", () => {
  assert.throws(() => readCPUTime(), /the CPU meter has not been started/);
});
