import assert from "node:assert/strict";
import { test } from "node:test";
import { makeNode } from "../cluster/factories.ts";
import type { ServiceMode, Task, TaskSpec, TaskState } from "../cluster/objects.ts";
import { SimulatedCluster } from "./simulated-cluster.ts";

const THREE = ["n1", "n2", "n3"];

async function startJob(
  cluster: SimulatedCluster,
  mode: ServiceMode,
  task: Partial<TaskSpec> = {},
): Promise<void> {
  const jobStatus = { jobIteration: 0, lastExecution: "" };
  await cluster.createService({ id: "j", task, spec: { mode }, jobStatus });
}

/** As the API has it: every change begins another iteration. */
async function runAgain(cluster: SimulatedCluster): Promise<void> {
  await cluster.updateService("j", (spec) => spec);
  await cluster.store.update((tx) => {
    const job = tx.get("service", "j");
    if (job?.jobStatus === undefined) return;
    const jobIteration = job.jobStatus.jobIteration + 1;
    tx.put("service", { ...job, jobStatus: { jobIteration, lastExecution: "" } });
  });
  await cluster.settle();
}

function tasksOf(cluster: SimulatedCluster, state: TaskState): readonly Task[] {
  return cluster.store
    .view()
    .tasksOfService("j")
    .filter((task) => task.status.state === state)
    .sort((a, b) => (a.slot ?? 0) - (b.slot ?? 0));
}

test("a replicated job runs so many at once, and each slot once", async () => {
  await using cluster = await SimulatedCluster.of(THREE);
  await startJob(cluster, { replicatedJob: { maxConcurrent: 2, totalCompletions: 5 } });
  for (let completed = 0; completed < 5; completed += 1) {
    assert.equal(tasksOf(cluster, "complete").length, completed);
    const running = tasksOf(cluster, "running");
    assert.equal(running.length, Math.min(2, 5 - completed));
    await cluster.endTask((running[0] as Task).id, "complete");
    await cluster.advance(60_000);
  }
  const slots = tasksOf(cluster, "complete").map(({ slot }) => slot);
  assert.deepEqual(slots, [0, 1, 2, 3, 4]);
  assert.equal(cluster.store.view().tasksOfService("j").length, 5);
  assert.equal(cluster.store.view().get("service", "j")?.updateStatus, undefined);
});

test("what fails is tried again in its slot, as often as its policy says", async () => {
  await using cluster = await SimulatedCluster.of(THREE);
  const restartPolicy = { maxAttempts: 2, delay: 1_000_000_000 };
  const mode = { replicatedJob: { maxConcurrent: 1, totalCompletions: 2 } };
  await startJob(cluster, mode, { restartPolicy });
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const [task] = tasksOf(cluster, "running");
    assert.equal(task?.slot, 0);
    await cluster.endTask(task.id, "failed");
    await cluster.advance(1_000);
  }
  assert.equal(tasksOf(cluster, "failed").length, 3);
  const [next] = tasksOf(cluster, "running");
  assert.equal(next?.slot, 1, "the other slot is not kept from its turn");
  await cluster.endTask(next.id, "complete");
  await cluster.advance(60_000);
  assert.deepEqual(tasksOf(cluster, "running"), []);
});

test("a job that is changed runs again, and what it still ran is taken away", async () => {
  await using cluster = await SimulatedCluster.of(THREE);
  await startJob(cluster, { replicatedJob: { maxConcurrent: 2, totalCompletions: 2 } });
  const [first] = tasksOf(cluster, "running");
  assert.ok(first);
  await cluster.endTask(first.id, "complete");
  await runAgain(cluster);
  const running = tasksOf(cluster, "running");
  assert.deepEqual(
    running.map(({ slot, jobIteration }) => [slot, jobIteration]),
    [
      [0, 1],
      [1, 1],
    ],
  );
  assert.deepEqual(
    tasksOf(cluster, "complete").map(({ id }) => id),
    [first.id],
  );
  assert.equal(cluster.store.view().tasksOfService("j").length, 3);
  for (let iteration = 0; iteration < 10; iteration += 1) {
    for (const { id } of tasksOf(cluster, "running")) await cluster.endTask(id, "complete");
    await runAgain(cluster);
  }
  const kept = cluster.store.view().tasksOfService("j");
  assert.equal(kept.length, 10, "five of each slot, as the cluster's history limit says");
});

test("a global job runs once on every node that may have it, also on one that comes later", async () => {
  await using cluster = await SimulatedCluster.of(THREE);
  await cluster.changeNode("n2", { availability: "drain" });
  await startJob(cluster, { globalJob: {} });
  assert.equal(cluster.spread("j"), "n1:1 n3:1");
  for (const { id } of tasksOf(cluster, "running")) await cluster.endTask(id, "complete");
  await cluster.advance(60_000);
  assert.equal(cluster.spread("j"), "");
  await cluster.store.update((tx) => tx.put("node", makeNode({ id: "n4", hostname: "n4" })));
  await cluster.settle();
  assert.equal(cluster.spread("j"), "n4:1");
  await cluster.changeNode("n2", { availability: "active" });
  assert.equal(cluster.spread("j"), "n2:1 n4:1");
});

test("a job's task leaves a drained node, and a restarted manager begins nothing twice", async () => {
  await using cluster = await SimulatedCluster.of(THREE);
  await startJob(cluster, { replicatedJob: { maxConcurrent: 3, totalCompletions: 3 } });
  assert.equal(cluster.spread("j"), "n1:1 n2:1 n3:1");
  await cluster.changeNode("n3", { availability: "drain" });
  assert.equal(cluster.running("j").length, 3);
  assert.doesNotMatch(cluster.spread("j"), /n3/);
  for (const { id } of tasksOf(cluster, "running")) await cluster.endTask(id, "complete");
  await cluster.restart();
  await cluster.advance(60_000);
  assert.equal(cluster.spread("j"), "");
  assert.equal(tasksOf(cluster, "complete").length, 3);
});
