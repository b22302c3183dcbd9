import assert from "node:assert/strict";
import { test } from "node:test";
import { makeNode, makePort } from "../cluster/factories.ts";
import { SimulatedCluster } from "./simulated-cluster.ts";

const THREE = ["n1", "n2", "n3"];

test("six replicas on three nodes, then more, fewer, and none", async () => {
  await using cluster = await SimulatedCluster.of(THREE);
  await cluster.createService({ id: "s", replicas: 6, ports: [makePort()] });
  assert.equal(cluster.spread("s"), "n1:2 n2:2 n3:2");
  await cluster.updateService("s", (spec) => ({ ...spec, mode: { replicated: { replicas: 9 } } }));
  await cluster.settle();
  assert.equal(cluster.spread("s"), "n1:3 n2:3 n3:3");
  const before = cluster.running("s").map(({ id }) => id);
  await cluster.updateService("s", (spec) => ({ ...spec, mode: { replicated: { replicas: 3 } } }));
  const scaled = await cluster.settle();
  assert.equal(cluster.spread("s"), "n1:1 n2:1 n3:1");
  assert.ok(
    cluster.running("s").every(({ id }) => before.includes(id)),
    "no task was replaced",
  );
  assert.equal(scaled.tasksOfService("s").length, 3, "removed slots leave nothing behind");
  assert.equal(scaled.get("service", "s")?.updateStatus, undefined, "scaling is no update");
  await cluster.store.update((tx) => tx.delete("service", "s"));
  const removed = await cluster.settle();
  assert.deepEqual(removed.list("task"), []);
});

test("fewer replicas are those that run, though others that have yet to start would be better balanced", async () => {
  await using cluster = await SimulatedCluster.of(THREE);
  for (const node of ["n2", "n3"]) await cluster.changeNode(node, { availability: "drain" });
  await cluster.createService({
    ...{ id: "s", replicas: 3, task: { containerSpec: { image: "slow" } } },
  });
  const before = cluster.running("s").map(({ id }) => id);
  assert.equal(cluster.spread("s"), "n1:3");
  for (const node of ["n2", "n3"]) await cluster.changeNode(node, { availability: "active" });
  cluster.fates.set("slow", "starting");
  const scaleTo = async (replicas: number) => {
    await cluster.updateService("s", (spec) => ({ ...spec, mode: { replicated: { replicas } } }));
    return (await cluster.settle()).tasksOfService("s");
  };
  assert.equal((await scaleTo(5)).length, 5);
  await scaleTo(3);
  assert.deepEqual(
    cluster
      .running("s")
      .map(({ id }) => id)
      .sort(),
    before.sort(),
  );
});

test("a thousand replicas run without time passing", async () => {
  await using cluster = await SimulatedCluster.of(THREE);
  await cluster.createService({ id: "s", replicas: 1_000 });
  assert.equal(cluster.running("s").length, 1_000);
});

test("a task that ends is followed by another after the delay, in its slot; history is bounded", async () => {
  await using cluster = await SimulatedCluster.of(THREE);
  await cluster.createService({ id: "s", replicas: 2 });
  for (let round = 1; round <= 8; round++) {
    const [first] = cluster.running("s");
    assert.ok(first);
    const ended = await cluster.endTask(first.id, round % 2 ? "failed" : "complete");
    assert.equal(ended.get("task", first.id)?.desiredState, "shutdown");
    const next = ended.tasksOfService("s").find(({ desiredState }) => desiredState === "ready");
    assert.equal(next?.slot, 1);
    assert.equal(next.status.state, "ready", "it is prepared meanwhile");
    assert.equal((await cluster.advance(4_999)).get("task", next.id)?.desiredState, "ready");
    assert.equal((await cluster.advance(1)).get("task", next.id)?.status.state, "running");
    const slot = cluster.store
      .view()
      .tasksOfService("s")
      .filter((task) => task.slot === 1);
    assert.equal(slot.length, Math.min(round + 1, 5));
  }
});

test("a restart policy's condition and attempts are kept to", async () => {
  await using cluster = await SimulatedCluster.of(THREE);
  cluster.fates.set("fails", "failed").set("ends", "complete");
  const task = (image: string, restartPolicy: object) => ({
    containerSpec: { image },
    restartPolicy,
  });
  await cluster.createService({ id: "none", task: task("fails", { condition: "none" }) });
  await cluster.createService({
    id: "on-failure",
    task: task("ends", { condition: "on-failure" }),
  });
  await cluster.createService({
    id: "thrice",
    task: task("fails", { maxAttempts: 3, delay: 1e9 }),
  });
  await cluster.createService({
    id: "window",
    task: task("fails", { maxAttempts: 2, delay: 1e9, window: 10e9 }),
  });
  for (let second = 0; second < 60; second++) await cluster.advance(1_000);
  const count = (id: string) => cluster.store.view().tasksOfService(id).length;
  assert.deepEqual(["none", "on-failure", "thrice", "window"].map(count), [1, 1, 4, 3]);
  await cluster.updateService("thrice", (spec) => ({
    ...spec,
    taskTemplate: { ...spec.taskTemplate, forceUpdate: 1 },
  }));
  await cluster.settle();
  assert.equal(count("thrice"), 5, "an update brings a settled slot back to life");
});

for (const [restarts, delay] of [
  ["after a while", 1e9],
  ["without a pause", 0],
] as const) {
  test(`a service that crashes and is restarted ${restarts} starves no other`, async () => {
    await using cluster = await SimulatedCluster.of(THREE);
    cluster.fates.set("crashes", "failed");
    cluster.turnsMax = 40;
    const task = { containerSpec: { image: "crashes" }, restartPolicy: { delay } };
    await cluster.createService({ id: "crashes", replicas: 20, task });
    await cluster.createService({ id: "works", replicas: 6, ports: [makePort()] });
    assert.equal(cluster.running("works").length, 6);
    const [first] = cluster.running("works");
    assert.ok(first);
    await cluster.endTask(first.id, "failed");
    for (let second = 0; second < 6; second++) await cluster.advance(1_000);
    assert.equal(cluster.running("works").length, 6, "what it loses is replaced as ever");
    const kept = cluster.store.view().tasksOfService("crashes").length;
    assert.ok(kept <= 20 * 6, `${kept} tasks are kept of what crashes`);
  });
}

test("a drained node's tasks go elsewhere, after they have stopped; a paused one keeps its own", async () => {
  await using cluster = await SimulatedCluster.of(THREE);
  await cluster.createService({ id: "s", replicas: 6 });
  await cluster.changeNode("n1", { availability: "drain" });
  assert.equal(cluster.spread("s"), "n2:3 n3:3");
  await cluster.changeNode("n2", { availability: "pause" });
  await cluster.changeNode("n1", { availability: "active" });
  assert.equal(cluster.spread("s"), "n2:3 n3:3", "nothing moves by itself");
  await cluster.updateService("s", (spec) => ({ ...spec, mode: { replicated: { replicas: 8 } } }));
  await cluster.settle();
  assert.equal(cluster.spread("s"), "n1:2 n2:3 n3:3");
});

test("a dead node's tasks run elsewhere at once, and stop when it is back", async () => {
  await using cluster = await SimulatedCluster.of(THREE);
  await cluster.createService({ id: "s", replicas: 3, ports: [makePort({ publishMode: "host" })] });
  await cluster.createService({ id: "t", replicas: 3 });
  await cluster.changeNode("n3", { state: "down" });
  assert.equal(cluster.spread("t"), "n1:2 n2:1");
  assert.equal(cluster.spread("s"), "n1:1 n2:1");
  const waiting = cluster.store
    .view()
    .tasksOfService("s")
    .find(({ status }) => status.state === "pending");
  assert.equal(
    waiting?.status.err,
    "no suitable node (host-mode port already in use on 2 nodes; 1 node not available for new tasks)",
  );
  const back = await cluster.changeNode("n3", { state: "ready" });
  assert.equal(cluster.spread("s"), "n1:1 n2:1 n3:1");
  const stopped = back.tasksOfNode("n3").filter(({ status }) => status.state === "shutdown");
  assert.deepEqual(
    stopped.map(({ serviceID }) => serviceID).sort((a, b) => a.localeCompare(b)),
    ["s", "t"],
  );
});

test("a removed node's tasks are replaced, and nothing of it is kept", async () => {
  await using cluster = await SimulatedCluster.of(THREE);
  await cluster.createService({ id: "s", replicas: 3 });
  await cluster.createService({ id: "g", global: true });
  await cluster.changeNode("n3", { state: "down" });
  await cluster.store.update((tx) => tx.delete("node", "n3"));
  await cluster.settle();
  assert.equal(cluster.running("s").length, 3);
  assert.equal(cluster.spread("g"), "n1:1 n2:1");
  await cluster.store.update((tx) => {
    tx.delete("service", "s");
    tx.delete("service", "g");
  });
  assert.deepEqual((await cluster.settle()).list("task"), []);
});

test("a global service follows the nodes", async () => {
  await using cluster = await SimulatedCluster.of(["n1", "n2"]);
  const placement = { constraints: ["node.labels.off!=true"] };
  await cluster.createService({
    id: "g",
    global: true,
    ports: [makePort({ publishMode: "host" })],
    task: { placement },
  });
  assert.equal(cluster.spread("g"), "n1:1 n2:1");
  await cluster.store.update((tx) => tx.put("node", makeNode({ id: "n3", state: "unknown" })));
  await cluster.settle();
  assert.equal(cluster.spread("g"), "n1:1 n2:1");
  await cluster.changeNode("n3", { state: "ready" });
  assert.equal(cluster.spread("g"), "n1:1 n2:1 n3:1");
  await cluster.changeNode("n1", { availability: "drain" });
  assert.equal(cluster.spread("g"), "n2:1 n3:1");
  await cluster.changeNode("n2", { labels: { off: "true" } });
  assert.equal(cluster.spread("g"), "n3:1");
  await cluster.changeNode("n2", { labels: {} });
  await cluster.changeNode("n1", { availability: "active" });
  assert.equal(cluster.spread("g"), "n1:1 n2:1 n3:1");
  const [first] = cluster.running("g");
  await cluster.endTask(first?.id ?? "", "failed");
  assert.equal(cluster.spread("g"), "n2:1 n3:1");
  await cluster.advance(5_000);
  assert.equal(cluster.spread("g"), "n1:1 n2:1 n3:1");
});

test("publishing an ingress port restarts nothing, but for tasks that are not in the mesh yet", async () => {
  await using cluster = await SimulatedCluster.of(THREE);
  const publish = (...ports: ReturnType<typeof makePort>[]) =>
    cluster.updateService("s", (spec) => ({ ...spec, endpointSpec: { mode: "vip", ports } }));
  await cluster.createService({ id: "s", replicas: 2 });
  const bare = cluster.running("s").map(({ id }) => id);
  await publish(makePort());
  for (let i = 0; i < 4; i++) await cluster.advance(5_000);
  const meshed = cluster.running("s").map(({ id }) => id);
  assert.ok(!meshed.some((id) => bare.includes(id)), "the first port needs an interface");
  await publish(makePort(), makePort({ publishedPort: 9090 }));
  await cluster.advance(5_000);
  await publish(makePort({ publishedPort: 9090 }));
  await cluster.advance(5_000);
  await publish();
  await cluster.advance(5_000);
  assert.deepEqual(
    cluster.running("s").map(({ id }) => id),
    meshed,
  );
  await publish(makePort({ publishMode: "host" }));
  for (let i = 0; i < 4; i++) await cluster.advance(5_000);
  assert.ok(
    !cluster.running("s").some(({ id }) => meshed.includes(id)),
    "a host-mode port is the container's own",
  );
});

const YEAR_MS = 365 * 86_400_000;

for (const [how, byMs] of [
  ["back", -YEAR_MS],
  ["forward", YEAR_MS],
] as const) {
  test(`a clock that is set ${how} neither holds a restart up nor hurries it`, async () => {
    await using cluster = await SimulatedCluster.of(["n1"]);
    const restartPolicy = { delay: 10e9 };
    await cluster.createService({ id: "s", replicas: 1, task: { restartPolicy } });
    const [first] = cluster.running("s");
    await cluster.endTask(first?.id ?? "", "failed");
    assert.equal(cluster.running("s").length, 0);
    cluster.clock.set(byMs);
    await cluster.advance(9_000);
    assert.equal(cluster.running("s").length, 0);
    await cluster.advance(1_500);
    assert.equal(cluster.running("s").length, 1);
  });
}

test("nor does one that was set back while no manager ran", async () => {
  await using cluster = await SimulatedCluster.of(["n1"]);
  await cluster.createService({ id: "s", replicas: 1, task: { restartPolicy: { delay: 10e9 } } });
  const [first] = cluster.running("s");
  await cluster.endTask(first?.id ?? "", "failed");
  cluster.clock.set(-YEAR_MS);
  await cluster.restart();
  await cluster.advance(10_001);
  assert.equal(cluster.running("s").length, 1);
});
