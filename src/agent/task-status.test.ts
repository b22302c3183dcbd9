import assert from "node:assert/strict";
import { test } from "node:test";
import { makeTask } from "../cluster/factories.ts";
import type { PortConfig, TaskStatus } from "../cluster/objects.ts";
import { draining, newerStatus, relayed, reported, servingIPv6 } from "./task-status.ts";

const RUNNING: TaskStatus = { ...makeTask({ state: "running" }).status, message: "started" };
const PORTS: readonly PortConfig[] = [
  { protocol: "tcp", targetPort: 80, publishedPort: 8080, publishMode: "ingress" },
  { protocol: "udp", targetPort: 53, publishedPort: 5353, publishMode: "ingress" },
];

test("a task that has drained reports its end without the error that told of its connections", () => {
  const drains = draining(RUNNING, 1);
  assert.deepEqual(
    [drains.state, drains.message, drains.err],
    ["running", "draining, 1 connection", "draining, 1 connection"],
  );
  const ended = reported(
    drains,
    { kind: "report", state: "shutdown", message: "shutdown" },
    { containerID: "c1", exitCode: 0 },
  );
  assert.deepEqual([ended.state, ended.message, ended.err], ["shutdown", "shutdown", undefined]);
  assert.deepEqual(ended.containerStatus, { containerID: "c1", exitCode: 0 });
});

test("a report without a message keeps the one before, and one without a container what was known of it", () => {
  const known = { ...RUNNING, containerStatus: { containerID: "c1", pid: 7 } };
  const failed = reported(known, { kind: "report", state: "failed", err: "exit (1)" }, undefined);
  assert.deepEqual(
    [failed.message, failed.err, failed.containerStatus],
    ["started", "exit (1)", { containerID: "c1", pid: 7 }],
  );
});

test("ports that were served over IPv6 once stay so, and the others are named at the end", () => {
  const first = servingIPv6(RUNNING, ["tcp/80"]);
  assert.deepEqual(first.ipv6Ports, ["tcp/80"]);
  assert.equal(servingIPv6(first, []), first);
  assert.match(relayed(first, PORTS).message, /^started; IPv6 clients are relayed, .* 53\/udp$/);
});

test("what was reported here counts unless managers know of a later state", () => {
  const told = makeTask({ state: "starting" }).status;
  assert.equal(newerStatus(told, RUNNING), RUNNING);
  assert.equal(newerStatus(RUNNING, told), RUNNING);
  assert.equal(newerStatus(told, undefined), told);
});
