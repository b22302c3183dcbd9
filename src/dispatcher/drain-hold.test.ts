/** Promise 3 over real sessions: a task is told to stop only when nobody sends it new connections any more. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { makeTask } from "../cluster/factories.ts";
import type { Task } from "../cluster/objects.ts";
import {
  endpointState,
  eventually,
  type LoopbackAgent,
  LoopbackCluster,
  publish,
} from "./loopback-cluster.ts";

const desiredState = (agent: LoopbackAgent) => agent.tasks[0]?.task.desiredState;

async function stop(cluster: LoopbackCluster, task: Task): Promise<void> {
  await cluster.store.update((tx) => tx.put("task", { ...task, desiredState: "shutdown" }));
}

test("a task is told to stop when the slowest node has confirmed, not before", async () => {
  await using cluster = await LoopbackCluster.start();
  const [one, two] = [await cluster.startAgent("n1"), await cluster.startAgent("n2")];
  const task = await publish(cluster, [one, two]);
  two.applies = false;
  await stop(cluster, task);
  for (const agent of [one, two]) {
    await eventually("draining", () => endpointState(agent) === "draining");
  }
  // A change after the confirmation of the first node shows that the order was held back, not merely late.
  await cluster.store.update((tx) => {
    tx.put("task", makeTask({ id: "marker", nodeID: one.nodeID, state: "assigned" }));
  });
  await eventually("marker", () => one.tasks.length === 2);
  assert.equal(desiredState(one), "running");
  two.session.reportApplied(two.mesh?.revision ?? 0);
  await eventually("told to stop", () => desiredState(one) === "shutdown");
});

test("a node that went away is not waited for", async () => {
  await using cluster = await LoopbackCluster.start();
  const [one, two] = [await cluster.startAgent("n1"), await cluster.startAgent("n2")];
  const task = await publish(cluster, [one, two]);
  two.applies = false;
  await stop(cluster, task);
  await eventually("draining", () => endpointState(two) === "draining");
  await two.session.stop();
  await eventually("told to stop", () => desiredState(one) === "shutdown");
});

test("a task that publishes nothing is told at once", async () => {
  await using cluster = await LoopbackCluster.start();
  const [one, two] = [await cluster.startAgent("n1"), await cluster.startAgent("n2")];
  await publish(cluster, [one, two]);
  for (const agent of [one, two]) agent.applies = false;
  const quiet = makeTask({ id: "quiet", nodeID: one.nodeID });
  await cluster.store.update((tx) => tx.put("task", quiet));
  await stop(cluster, quiet);
  await eventually("told", () =>
    one.tasks.some(({ task }) => task.id === "quiet" && task.desiredState === "shutdown"),
  );
});

test("a node that was told to stop a task is not told otherwise by a manager that has just started", async () => {
  await using cluster = await LoopbackCluster.start();
  const [one, two] = [await cluster.startAgent("n1"), await cluster.startAgent("n2")];
  const task = await publish(cluster, [one, two]);
  await stop(cluster, task);
  await eventually("told to stop", () => desiredState(one) === "shutdown");
  two.applies = false;
  await cluster.stopManager();
  await cluster.startManager();
  const sets = one.taskSets;
  await eventually("a new set", () => one.taskSets > sets);
  assert.equal(desiredState(one), "shutdown");
});
