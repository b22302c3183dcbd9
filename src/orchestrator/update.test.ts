import assert from "node:assert/strict";
import { test } from "node:test";
import type { ServiceSpec, TaskState, UpdateConfig } from "../cluster/objects.ts";
import { SimulatedCluster } from "./simulated-cluster.ts";

const SECOND = 1e9;

const toImage = (image: string) => (spec: ServiceSpec) => ({
  ...spec,
  taskTemplate: { ...spec.taskTemplate, containerSpec: { image } },
});

async function clusterWith(config: Partial<UpdateConfig>, replicas = 4) {
  const cluster = await SimulatedCluster.of(["n1", "n2"]);
  const updateConfig = { parallelism: 1, ...config };
  await cluster.createService({
    id: "s",
    replicas,
    spec: { updateConfig },
    task: { containerSpec: { image: "v1" } },
  });
  return cluster;
}

/** Running tasks by image, as "v1:3 v2:1". */
function images(cluster: SimulatedCluster): string {
  const counts = new Map<string, number>();
  for (const { spec } of cluster.running("s")) {
    const { image } = spec.containerSpec;
    counts.set(image, (counts.get(image) ?? 0) + 1);
  }
  const parts = [...counts].sort(([a], [b]) => a.localeCompare(b));
  return parts.map(([image, count]) => `${image}:${count}`).join(" ");
}

function status(cluster: SimulatedCluster) {
  return cluster.store.view().get("service", "s")?.updateStatus;
}

test("a rolling update goes by its parallelism and delay, is watched, and ends", async () => {
  await using cluster = await clusterWith({
    parallelism: 2,
    delay: 10 * SECOND,
    monitor: 3 * SECOND,
  });
  await cluster.updateService("s", toImage("v2"));
  await cluster.settle();
  assert.equal(images(cluster), "v1:2 v2:2");
  assert.equal(status(cluster)?.state, "updating");
  assert.equal(status(cluster)?.message, "update in progress");
  await cluster.advance(9_999);
  assert.equal(images(cluster), "v1:2 v2:2");
  await cluster.advance(1);
  assert.equal(images(cluster), "v2:4");
  await cluster.advance(2_999);
  assert.equal(status(cluster)?.state, "updating");
  await cluster.advance(1);
  assert.equal(status(cluster)?.state, "completed");
  assert.equal(status(cluster)?.message, "update completed");
  assert.ok(status(cluster)?.completedAt);
});

test("without an update config one slot follows the other", async () => {
  await using cluster = await SimulatedCluster.of(["n1", "n2"]);
  await cluster.createService({ id: "s", replicas: 3, task: { containerSpec: { image: "v1" } } });
  let most = 0;
  cluster.store.subscribe(() => {
    const tasks = cluster.store.view().tasksOfService("s");
    const coming = tasks.filter(
      (task) => task.spec.containerSpec.image === "v2" && task.status.state !== "running",
    );
    most = Math.max(most, coming.length);
  });
  await cluster.updateService("s", toImage("v2"));
  await cluster.settle();
  assert.equal(images(cluster), "v2:3");
  assert.equal(most, 1);
  await cluster.advance(5_000);
  assert.equal(status(cluster)?.state, "completed");
});

test("stop-first never has two of a slot running, start-first never has none", async () => {
  for (const order of ["stop-first", "start-first"] as const) {
    await using cluster = await clusterWith({ order, parallelism: 0 });
    const seen = new Set<number>();
    cluster.store.subscribe(() => {
      for (const slot of [1, 2, 3, 4]) {
        const tasks = cluster.store
          .view()
          .tasksOfService("s")
          .filter((task) => task.slot === slot);
        seen.add(tasks.filter((task) => task.status.state === "running").length);
      }
    });
    await cluster.updateService("s", toImage("v2"));
    await cluster.settle();
    assert.equal(images(cluster), "v2:4");
    const counts = [...seen].sort((a, b) => a - b);
    assert.deepEqual(counts, order === "stop-first" ? [0, 1] : [1, 2], order);
  }
});

test("a replacement waits until its predecessor has stopped, but not for ever", async () => {
  await using cluster = await clusterWith({}, 1);
  await cluster.changeNode("n1", { state: "unknown" });
  await cluster.changeNode("n2", { state: "unknown" });
  await cluster.updateService("s", toImage("v2"));
  await cluster.settle();
  const [next] = cluster.store
    .view()
    .tasksOfService("s")
    .filter((task) => task.orchestration?.origin === "update");
  assert.equal(next?.desiredState, "ready");
  await cluster.advance(69_999);
  assert.equal(cluster.store.view().get("task", next.id)?.desiredState, "ready");
  await cluster.advance(1);
  assert.equal(cluster.store.view().get("task", next.id)?.desiredState, "running");
});

test("forceUpdate alone replaces, replicas and labels alone do not", async () => {
  await using cluster = await clusterWith({ parallelism: 0 });
  const before = cluster.running("s").map(({ id }) => id);
  await cluster.updateService("s", (spec) => ({ ...spec, labels: { a: "b" } }));
  await cluster.settle();
  assert.deepEqual(
    cluster.running("s").map(({ id }) => id),
    before,
  );
  assert.equal(status(cluster), undefined);
  await cluster.updateService("s", (spec) => ({
    ...spec,
    taskTemplate: { ...spec.taskTemplate, forceUpdate: 1 },
  }));
  await cluster.settle();
  assert.ok(!cluster.running("s").some(({ id }) => before.includes(id)));
});

test("a constraint that a task meets already does not move it", async () => {
  await using cluster = await clusterWith({ parallelism: 0 }, 2);
  const before = cluster.running("s");
  const placement = { constraints: ["node.id==n1"] };
  await cluster.updateService("s", (spec) => ({
    ...spec,
    taskTemplate: { ...spec.taskTemplate, placement },
  }));
  await cluster.settle();
  assert.equal(cluster.spread("s"), "n1:2");
  const kept = before.filter(({ nodeID }) => nodeID === "n1").map(({ id }) => id);
  assert.ok(kept.every((id) => cluster.running("s").some((task) => task.id === id)));
});

const FAILURES: readonly (readonly [string, Partial<UpdateConfig>, string, string, RegExp])[] = [
  [
    "pauses",
    {},
    "v1:3",
    "paused",
    /^update paused due to failure or early termination of task \w{25}$/,
  ],
  [
    "rolls back",
    { failureAction: "rollback" },
    "v1:4",
    "rollback_completed",
    /^rollback completed$/,
  ],
  ["goes on", { failureAction: "continue" }, "", "completed", /^update completed$/],
  ["tolerates a ratio, then pauses", { maxFailureRatio: 0.25 }, "v1:2", "paused", /^update paused/],
];
for (const [name, config, left, state, message] of FAILURES) {
  test(`an update whose tasks fail ${name}`, async () => {
    await using cluster = await clusterWith({ monitor: SECOND, ...config });
    cluster.fates.set("v2", "failed");
    await cluster.updateService("s", toImage("v2"));
    await cluster.settle();
    for (let i = 0; i < 10; i++) await cluster.advance(1_000);
    assert.equal(images(cluster), left);
    assert.equal(status(cluster)?.state, state);
    assert.match(status(cluster)?.message ?? "", message);
  });
}

test("a task that fails within the watch after it ran counts, one that fails later does not", async () => {
  const rows: readonly (readonly [number, string])[] = [
    [3_000, "paused"],
    [3_001, "completed"],
  ];
  for (const [afterMs, state] of rows) {
    await using cluster = await clusterWith({ monitor: 3 * SECOND, delay: 3.5 * SECOND }, 2);
    await cluster.updateService("s", toImage("v2"));
    await cluster.settle();
    await cluster.advance(afterMs);
    const first = cluster.running("s").find((task) => task.spec.containerSpec.image === "v2");
    await cluster.endTask(first?.id ?? "", "failed");
    for (let i = 0; i < 10; i++) await cluster.advance(1_000);
    assert.equal(status(cluster)?.state, state, `${afterMs} ms`);
  }
});

test("a rollback that fails is paused, and a manual one ends in its own words", async () => {
  await using cluster = await clusterWith({ failureAction: "rollback" });
  await cluster.updateService("s", (spec) => ({
    ...toImage("v2")(spec),
    rollbackConfig: { parallelism: 1, failureAction: "rollback" },
  }));
  await cluster.advance(10_000);
  await cluster.updateService("s", toImage("v3"));
  cluster.fates.set("v3", "failed").set("v2", "rejected" satisfies TaskState);
  await cluster.settle();
  assert.equal(status(cluster)?.state, "rollback_paused");
  assert.match(
    status(cluster)?.message ?? "",
    /^rollback paused due to failure or early termination of task/,
  );

  cluster.fates.clear();
  await cluster.store.update((tx) => {
    const service = tx.get("service", "s");
    assert.ok(service);
    const { previousSpec: _previousSpec, ...rest } = service;
    tx.put("service", {
      ...rest,
      spec: toImage("v1")(service.spec),
      specVersion: { index: tx.nextRevision },
      updateStatus: { state: "rollback_started", message: "manually requested rollback" },
    });
  });
  for (let i = 0; i < 4; i++) await cluster.advance(5_000);
  assert.equal(images(cluster), "v1:4");
  assert.equal(status(cluster)?.state, "rollback_completed");
});

test("an update replaced by another one ends with the last", async () => {
  await using cluster = await clusterWith({ delay: 10 * SECOND });
  await cluster.updateService("s", toImage("v2"));
  await cluster.settle();
  assert.equal(images(cluster), "v1:3 v2:1");
  await cluster.updateService("s", toImage("v3"));
  for (let i = 0; i < 6; i++) await cluster.advance(10_000);
  assert.equal(images(cluster), "v3:4");
  assert.equal(status(cluster)?.state, "completed");
});

test("an update, a delay and attempts go on over a restart of the manager", async () => {
  await using cluster = await clusterWith({ delay: 10 * SECOND, monitor: 20 * SECOND });
  cluster.fates.set("fails", "failed");
  const restartPolicy = { maxAttempts: 2, delay: 6 * SECOND };
  await cluster.createService({
    id: "f",
    task: { containerSpec: { image: "fails" }, restartPolicy },
  });
  await cluster.updateService("s", toImage("v2"));
  await cluster.settle();
  for (let second = 1; second <= 31; second++) {
    await cluster.restart();
    await cluster.advance(1_000);
    const done = 1 + Math.floor(second / 10);
    assert.equal(images(cluster), done < 4 ? `v1:${4 - done} v2:${done}` : "v2:4", `${second} s`);
    const attempts = 1 + Math.min(2, Math.floor(second / 6));
    const failed = cluster.store
      .view()
      .tasksOfService("f")
      .filter((task) => task.status.state === "failed");
    assert.equal(failed.length, attempts, `${second} s`);
  }
  await cluster.advance(18_000);
  assert.equal(status(cluster)?.state, "updating");
  await cluster.advance(1_000);
  assert.equal(status(cluster)?.state, "completed");
});

test("scaling during an update changes the number and not the pace", async () => {
  await using cluster = await clusterWith({ delay: 10 * SECOND });
  await cluster.updateService("s", toImage("v2"));
  await cluster.settle();
  await cluster.updateService("s", (spec) => ({ ...spec, mode: { replicated: { replicas: 6 } } }));
  await cluster.settle();
  assert.equal(cluster.running("s").length, 6);
  for (let i = 0; i < 6; i++) await cluster.advance(10_000);
  assert.equal(images(cluster), "v2:6");
});

test("and what it has in hand counts after that, too: no more stop at once", async () => {
  await using cluster = await clusterWith({ delay: 0 });
  const replicas = cluster.running("s").length;
  cluster.fates.set("v2", "starting");
  await cluster.updateService("s", toImage("v2"));
  await cluster.settle();
  assert.equal(cluster.running("s").length, replicas - 1);
  for (const count of [replicas + 5, replicas, replicas + 1, replicas]) {
    const mode = { replicated: { replicas: count } };
    await cluster.updateService("s", (spec) => ({ ...spec, mode }));
    await cluster.settle();
    assert.equal(cluster.running("s").length, replicas - 1);
  }
});

test("a global service is updated node by node, a paused node later", async () => {
  await using cluster = await SimulatedCluster.of(["n1", "n2", "n3"]);
  await cluster.createService({ id: "s", global: true, task: { containerSpec: { image: "v1" } } });
  await cluster.changeNode("n2", { availability: "pause" });
  await cluster.updateService("s", toImage("v2"));
  await cluster.settle();
  assert.equal(images(cluster), "v1:1 v2:2");
  await cluster.advance(5_000);
  assert.equal(status(cluster)?.state, "completed");
  await cluster.changeNode("n2", { availability: "active" });
  assert.equal(images(cluster), "v2:3");
});
