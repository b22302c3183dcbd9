import assert from "node:assert/strict";
import { test } from "node:test";
import type { TaskStatus } from "../cluster/objects.ts";
import { decodeStatus, encodeStatus } from "./wire-status.ts";

const status: TaskStatus = {
  timestamp: "2026-01-02T03:04:05.000Z",
  state: "running",
  message: "started",
  containerStatus: { containerID: "c".repeat(64), pid: 7 },
};

test("a status comes as it was sent", () => {
  assert.deepEqual(decodeStatus(encodeStatus({ taskID: "t1", status })), { taskID: "t1", status });
});

test("what the store would keep is bounded, in what a lying node says too", () => {
  const long = "x".repeat(1_000_000);
  const sent = (lie: Partial<TaskStatus>) =>
    encodeStatus({ taskID: "t1", status: { ...status, ...lie } });
  assert.equal(decodeStatus(sent({ message: long })).status.message.length, 4_096);
  const commented = `2026-01-02 (${long})`;
  assert.ok(!Number.isNaN(Date.parse(commented)));
  assert.throws(() => decodeStatus(sent({ timestamp: commented })), { message: /^invalid time/ });
  const containerStatus = { containerID: long };
  assert.throws(() => decodeStatus(sent({ containerStatus })), { message: "invalid container id" });
});
