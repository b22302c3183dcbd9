/** Tasks that leave a living node, and what their clients find meanwhile. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { makePort } from "../cluster/factories.ts";
import type { Task } from "../cluster/objects.ts";
import { HANDOVER_MS_MAX } from "./handover.ts";
import { SimulatedCluster } from "./simulated-cluster.ts";

const PUBLISHED = { id: "s", replicas: 1, ports: [makePort()] };

/** The fewest tasks that were wanted and ran at once, in any transaction from now on. */
function watchFewest(cluster: SimulatedCluster): () => number {
  let fewest = Number.POSITIVE_INFINITY;
  cluster.store.subscribe(() => {
    fewest = Math.min(fewest, cluster.running("s").length);
  });
  return () => fewest;
}

async function oneTask(
  task: Partial<Task["spec"]> = {},
  nodes: readonly string[] = ["n1", "n2"],
): Promise<{ cluster: SimulatedCluster; home: string }> {
  const cluster = await SimulatedCluster.of(nodes);
  const spec = { containerSpec: { image: "v1" }, ...task };
  await cluster.createService({ ...PUBLISHED, task: spec });
  return { cluster, home: cluster.running("s")[0]?.nodeID ?? "" };
}

test("the only task of a service leaves a drained node once another one runs", async () => {
  const { cluster, home } = await oneTask();
  await using _ = cluster;
  const fewest = watchFewest(cluster);
  const after = await cluster.changeNode(home, { availability: "drain" });
  assert.equal(cluster.spread("s"), home === "n1" ? "n2:1" : "n1:1");
  assert.equal(fewest(), 1);
  const states = after.tasksOfService("s").map(({ status }) => status.state);
  assert.deepEqual(states.sort(), ["running", "shutdown"]);
});

test("and all tasks of one, when a label takes their node from them", async () => {
  await using cluster = await SimulatedCluster.of(["n1", "n2"]);
  await cluster.changeNode("n1", { labels: { zone: "a" } });
  const placement = { constraints: ["node.labels.zone==a"] };
  const task = { containerSpec: { image: "v1" }, placement };
  await cluster.createService({ ...PUBLISHED, replicas: 3, task });
  assert.equal(cluster.spread("s"), "n1:3");
  await cluster.changeNode("n2", { labels: { zone: "a" } });
  const fewest = watchFewest(cluster);
  await cluster.changeNode("n1", { labels: { zone: "b" } });
  assert.equal(cluster.spread("s"), "n2:3");
  assert.equal(fewest(), 3);
});

for (const [what, init] of [
  ["has a port of its host", { ports: [makePort({ publishMode: "host" })] }],
  ["publishes nothing", { ports: [] }],
  [
    "keeps data on its host",
    {
      task: {
        containerSpec: {
          image: "v1",
          mounts: [{ type: "volume", source: "data", target: "/data" }],
        },
      },
    },
  ],
] as const) {
  test(`a task that ${what} stops before its successor starts`, async () => {
    await using cluster = await SimulatedCluster.of(["n1", "n2"]);
    await cluster.createService({ ...PUBLISHED, ...init } as typeof PUBLISHED);
    const home = cluster.running("s")[0]?.nodeID ?? "";
    const fewest = watchFewest(cluster);
    await cluster.changeNode(home, { availability: "drain" });
    assert.equal(cluster.running("s").length, 1);
    assert.equal(fewest(), 0);
  });
}

test("where no other node can take it, the drained node is left all the same", async () => {
  const { cluster } = await oneTask({}, ["n1"]);
  await using _ = cluster;
  const after = await cluster.changeNode("n1", { availability: "drain" });
  const tasks = after.tasksOfService("s");
  const seen = tasks.map(({ status, desiredState }) => `${status.state}/${desiredState}`);
  assert.deepEqual(seen.sort(), ["pending/running", "shutdown/shutdown"]);
});

test("a successor that fails does not hold the node", async () => {
  const { cluster, home } = await oneTask();
  await using _ = cluster;
  cluster.fates.set("v1", "failed");
  const after = await cluster.changeNode(home, { availability: "drain" });
  assert.deepEqual(cluster.running("s"), []);
  const wanted = after.tasksOfService("s").filter((task) => task.desiredState === "ready");
  assert.equal(wanted.length, 1, "one follows, after its delay");
});

test("nor one that never comes to run", async () => {
  const { cluster, home } = await oneTask();
  await using _ = cluster;
  cluster.fates.set("v1", "ready");
  cluster.turnsMax = 200;
  await cluster.changeNode(home, { availability: "drain" });
  assert.deepEqual(
    cluster.running("s").map(({ nodeID }) => nodeID),
    [home],
    "it serves while it may",
  );
  await cluster.advance(HANDOVER_MS_MAX - 1);
  assert.equal(cluster.running("s").length, 1);
  await cluster.advance(1);
  assert.deepEqual(cluster.running("s"), []);
});

test("a node that is active again keeps what still runs there", async () => {
  const { cluster, home } = await oneTask();
  await using _ = cluster;
  cluster.fates.set("v1", "ready");
  cluster.turnsMax = 200;
  await cluster.changeNode(home, { availability: "drain" });
  await cluster.changeNode(home, { availability: "active" });
  cluster.fates.delete("v1");
  cluster.turnsMax = undefined;
  await cluster.settle();
  assert.equal(cluster.spread("s"), `${home}:1`);
});

test("a handover goes on where it was when the manager starts again", async () => {
  const { cluster, home } = await oneTask();
  await using _ = cluster;
  cluster.fates.set("v1", "ready");
  cluster.turnsMax = 200;
  await cluster.changeNode(home, { availability: "drain" });
  await cluster.restart();
  assert.equal(cluster.store.view().tasksOfService("s").length, 2, "no second successor");
  cluster.fates.delete("v1");
  cluster.turnsMax = undefined;
  const fewest = watchFewest(cluster);
  await cluster.settle();
  assert.equal(fewest(), 1);
  assert.notEqual(cluster.running("s")[0]?.nodeID, home);
});

test("labels for Weft are those of running tasks at once, and replace none", async () => {
  const { cluster } = await oneTask();
  await using _ = cluster;
  const [before] = cluster.running("s");
  await cluster.updateService("s", (spec) => ({
    ...spec,
    labels: { tier: "web", "weft.drain.timeout": "2m" },
  }));
  await cluster.settle();
  const [after] = cluster.running("s");
  assert.equal(after?.id, before?.id);
  assert.deepEqual(after?.serviceAnnotations.labels, { "weft.drain.timeout": "2m" });
});
