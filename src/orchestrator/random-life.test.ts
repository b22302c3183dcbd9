import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { makeNode, makePort } from "../cluster/factories.ts";
import type { ServiceSpec } from "../cluster/objects.ts";
import { isOver } from "../cluster/task-lifecycle.ts";
import { SimulatedCluster } from "./simulated-cluster.ts";

/** Longer than any delay, watch or patience in these lives. */
const LONG_MS = 100_000;
const SLOW_ROUNDS_MAX = 40;

const operation = fc.record({
  kind: fc.constantFrom(
    "create",
    "scale",
    "update",
    "publish",
    "force",
    "remove",
    "fail",
    "drain",
    "pause",
    "activate",
    "down",
    "up",
    "join",
    "leave",
    "wait",
    "restart",
  ),
  pick: fc.nat(1_000),
  amount: fc.nat(5),
  /** The next operation comes while the loops are still at this one. */
  turnsMax: fc.option(fc.nat(12), { nil: undefined }),
});
type Operation = { readonly kind: string; readonly pick: number; readonly amount: number };

test("whatever happens, once all is well again every service is as it should be", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { maxLength: 25 }), async (operations) => {
      await using cluster = await SimulatedCluster.of(["n1", "n2", "n3"]);
      for (const [number, each] of operations.entries()) {
        cluster.turnsMax = each.turnsMax;
        await apply(cluster, each, number);
        await cluster.settle();
      }
      cluster.turnsMax = undefined;
      await heal(cluster);
      assertHealthy(cluster);
      await cluster.store.update((tx) => {
        for (const service of tx.list("service")) tx.delete("service", service.id);
      });
      assert.deepEqual((await cluster.settle()).list("task"), [], "nothing is left behind");
    }),
    { numRuns: 60 },
  );
});

async function apply(cluster: SimulatedCluster, { kind, pick, amount }: Operation, number: number) {
  const snapshot = cluster.store.view();
  const some = <T>(list: readonly T[]): T | undefined => list[pick % (list.length || 1)];
  const service = some(snapshot.list("service"));
  const node = some(snapshot.list("node"));
  const task = some(snapshot.list("task").filter(({ status }) => status.state === "running"));
  const change = async (to: (spec: ServiceSpec) => ServiceSpec) => {
    if (service) await cluster.updateService(service.id, to);
  };
  switch (kind) {
    case "create": {
      const order = pick % 2 ? "start-first" : "stop-first";
      const ports =
        [[], [makePort({ publishedPort: 8000 + number })], [makePort({ publishMode: "host" })]][
          pick % 3
        ] ?? [];
      const updateConfig = {
        parallelism: amount % 3,
        delay: amount * 1e9,
        order,
        failureAction: "continue",
      } as const;
      await cluster.createService({
        id: `s${number}`,
        replicas: amount,
        global: pick % 4 === 0,
        ports,
        spec: { updateConfig },
      });
      return;
    }
    case "scale":
      if (service?.spec.mode.replicated)
        await change((spec) => ({ ...spec, mode: { replicated: { replicas: amount } } }));
      return;
    case "update":
      return change((spec) => ({
        ...spec,
        taskTemplate: { ...spec.taskTemplate, containerSpec: { image: `v${number}` } },
      }));
    case "publish":
      return change((spec) => ({
        ...spec,
        endpointSpec: { mode: "vip", ports: [makePort({ publishedPort: 8000 + number })] },
      }));
    case "force":
      return change((spec) => ({
        ...spec,
        taskTemplate: { ...spec.taskTemplate, forceUpdate: number },
      }));
    case "remove":
      if (service) await cluster.store.update((tx) => tx.delete("service", service.id));
      return;
    case "restart":
      return cluster.restart();
    case "fail":
      if (task) await cluster.endTask(task.id, "failed");
      return;
    case "drain":
    case "pause":
      if (node) await cluster.changeNode(node.id, { availability: kind });
      return;
    case "activate":
      if (node) await cluster.changeNode(node.id, { availability: "active" });
      return;
    case "down":
      if (node) await cluster.changeNode(node.id, { state: "down" });
      return;
    case "up":
      if (node) await cluster.changeNode(node.id, { state: "ready" });
      return;
    case "join":
      await cluster.store.update((tx) => tx.put("node", makeNode({ id: `n${number + 10}` })));
      return;
    case "leave":
      if (node && snapshot.list("node").length > 1) {
        await cluster.changeNode(node.id, { state: "down" });
        await cluster.store.update((tx) => tx.delete("node", node.id));
      }
      return;
    default:
      await cluster.advance(amount * 2_500);
  }
}

async function heal(cluster: SimulatedCluster): Promise<void> {
  for (const { id } of cluster.store.view().list("node")) {
    await cluster.changeNode(id, { availability: "active", state: "ready" });
  }
  // A host-mode service of more replicas than nodes waits for ever, as it should.
  const nodes = cluster.store.view().list("node").length;
  for (const { id, spec } of cluster.store.view().list("service")) {
    const replicas = Math.min(nodes, spec.mode.replicated?.replicas ?? 0);
    if (replicas < (spec.mode.replicated?.replicas ?? 0)) {
      await cluster.updateService(id, (old) => ({ ...old, mode: { replicated: { replicas } } }));
    }
  }
  // Two host-mode services, or start-first on every node, may wait for each other's port.
  for (const { id, spec } of cluster.store.view().list("service")) {
    if (spec.endpointSpec?.ports.some(({ publishMode }) => publishMode === "host")) {
      await cluster.store.update((tx) => tx.delete("service", id));
    }
  }
  for (let round = 0; round < SLOW_ROUNDS_MAX; round++) await cluster.advance(LONG_MS / 10);
}

function assertHealthy(cluster: SimulatedCluster): void {
  const snapshot = cluster.store.view();
  const nodes = snapshot.list("node").length;
  for (const service of snapshot.list("service")) {
    const text = `${service.spec.name}: ${JSON.stringify(snapshot.tasksOfService(service.id).map(({ slot, nodeID, desiredState, status, orchestration }) => ({ slot, nodeID, desiredState, state: status.state, err: status.err, orchestration })))}`;
    const running = cluster.running(service.id);
    assert.equal(running.length, service.spec.mode.replicated?.replicas ?? nodes, text);
    assert.equal(
      snapshot.tasksOfService(service.id).filter((task) => !isOver(task)).length,
      running.length,
      text,
    );
    for (const task of running) {
      assert.deepEqual(task.spec.containerSpec, service.spec.taskTemplate.containerSpec, text);
      assert.equal(
        task.networksAttachments.length > 0 || !service.spec.endpointSpec?.ports.length,
        true,
        text,
      );
    }
    const places = running.map(({ slot, nodeID }) => slot ?? nodeID);
    assert.equal(new Set(places).size, places.length, text);
    assert.notEqual(service.updateStatus?.state, "updating", text);
  }
}
