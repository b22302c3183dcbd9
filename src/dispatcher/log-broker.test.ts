import assert from "node:assert/strict";
import { test } from "node:test";
import { makeTask } from "../cluster/factories.ts";
import type { LogSubscription, TaskLogMessage } from "./assignment.ts";
import { eventually, LoopbackCluster } from "./loopback-cluster.ts";

function line(taskID: string, text: string): TaskLogMessage {
  return {
    taskID,
    nodeID: "set by the manager",
    stream: "stdout",
    timestamp: "2026-01-01T00:00:00.000000001Z",
    data: Buffer.from(`${text}\n`),
  };
}

function subscription(init: Partial<LogSubscription> = {}): LogSubscription {
  const taskIDs = ["t1", "t2"];
  return { id: "s", taskIDs, stdout: true, stderr: true, follow: false, ...init };
}

const textOf = (message: TaskLogMessage) => Buffer.from(message.data).toString().trim();

async function setUp(cluster: LoopbackCluster) {
  const [one, two] = [await cluster.startAgent("n1"), await cluster.startAgent("n2")];
  await eventually("sessions", () => one.mesh !== undefined && two.mesh !== undefined);
  one.lines = [line("t1", "one"), line("t1", "two"), line("not asked for", "secret")];
  two.lines = [line("t2", "three")];
  await cluster.store.update((tx) => {
    tx.put("task", makeTask({ id: "t1", nodeID: one.nodeID }));
    tx.put("task", makeTask({ id: "t2", nodeID: two.nodeID }));
  });
  return [one, two] as const;
}

test("lines come from every node that runs a task, and end when all is said", async () => {
  await using cluster = await LoopbackCluster.start();
  const [one, two] = await setUp(cluster);
  const signal = new AbortController().signal;
  const lines: TaskLogMessage[] = [];
  for await (const message of cluster.dispatcher.logs(subscription(), signal)) lines.push(message);
  assert.deepEqual(lines.map(textOf).toSorted(), ["one", "three", "two"]);
  assert.deepEqual(
    new Set(lines.map(({ taskID, nodeID }) => `${taskID} ${nodeID}`)),
    new Set([`t1 ${one.nodeID}`, `t2 ${two.nodeID}`]),
  );
  assert.equal(lines[0]?.timestamp, "2026-01-01T00:00:00.000000001Z");
});

test("followed, it goes on over new tasks until nobody reads", async () => {
  await using cluster = await LoopbackCluster.start();
  const [one, two] = await setUp(cluster);
  const controller = new AbortController();
  const seen: string[] = [];
  const taskIDs = ["t1", "t2", "later"];
  const reading = (async () => {
    const all = cluster.dispatcher.logs(subscription({ follow: true, taskIDs }), controller.signal);
    for await (const message of all) seen.push(textOf(message));
  })();
  await eventually("three lines", () => seen.length === 3);
  two.lines = [line("later", "four")];
  await cluster.store.update((tx) => {
    tx.put("task", makeTask({ id: "later", nodeID: two.nodeID, state: "assigned" }));
  });
  await eventually("four lines", () => seen.length === 4);
  assert.equal(one.followed + two.followed, 3);
  controller.abort();
  await reading;
  await eventually("nodes have stopped", () => one.followed + two.followed === 0);
});

test("a node without session is named in Docker's words, after what the others have said", async () => {
  await using cluster = await LoopbackCluster.start();
  const [, two] = await setUp(cluster);
  const { nodeID } = two;
  await two.session.stop();
  await eventually("closed", () => cluster.logged.some((line) => line.includes("session closed")));
  const seen: string[] = [];
  const reading = async () => {
    const all = cluster.dispatcher.logs(subscription(), new AbortController().signal);
    for await (const message of all) seen.push(textOf(message));
  };
  await assert.rejects(reading(), {
    message:
      "warning: incomplete log stream. some logs could not be retrieved for the following " +
      `reasons: node ${nodeID} is not available`,
  });
  assert.deepEqual(seen, ["one", "two"]);
});

test("a slow reader slows the node down: what waits for it is bounded", async () => {
  await using cluster = await LoopbackCluster.start();
  const [one] = await setUp(cluster);
  const big = "x".repeat(100_000);
  let made = 0;
  one.onLogs = async function* () {
    for (; made < 200; made++) yield line("t1", big);
  };
  const all = cluster.dispatcher
    .logs(subscription({ taskIDs: ["t1"] }), new AbortController().signal)
    [Symbol.asyncIterator]();
  await all.next();
  let last = -1;
  await eventually("the node waits", () => {
    const waits = made === last && made > 10;
    last = made;
    return waits;
  });
  assert.ok(made < 150, `${made} of 200 lines of 100 kB were made for a reader of one`);
  let read = 1;
  while (!(await all.next()).done) read++;
  assert.equal(read, 200);
});
