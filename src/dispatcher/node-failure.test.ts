/** A node that goes silent, and one that comes back, over real connections: a host behind a cable that is pulled. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { makeClusterSpec } from "../cluster/factories.ts";
import type { Node } from "../cluster/objects.ts";
import { Cable } from "./cable.ts";
import { endpointState, eventually, LoopbackCluster, publish } from "./loopback-cluster.ts";

/** Beats of 0.2 s, silence judged after 0.45 s. */
const FAST = { spec: makeClusterSpec({ dispatcher: { heartbeatPeriod: 1_000_000_000 } }) };

test("a node behind a cut cable is down within its grace, and ready when the cable is mended", async () => {
  await using cluster = await LoopbackCluster.start({ cluster: FAST });
  using cable = new Cable(cluster.addr);
  const managers = [await cable.lay()];
  const agent = cluster.startAgentWith(await cluster.join("n1"), { managers });
  const nodeIs = (state: Node["status"]["state"]) => () => {
    const node = cluster.store.view().get("node", agent.nodeID);
    return node?.status.state === state && node;
  };
  await eventually("ready", nodeIs("ready"));
  await eventually("session", () => agent.mesh !== undefined);
  cable.cut();
  const down = await eventually("down", nodeIs("down"));
  assert.equal(down.status.message, "heartbeat failure");
  await eventually("the node has noticed too", () =>
    agent.logged.some((line) => line.includes("the manager does not answer")),
  );
  cable.mend();
  const ready = await eventually("ready again", nodeIs("ready"));
  assert.equal(ready.status.message, undefined);
});

test("a session that is replaced by a newer one of the same node does not take it down with it", async () => {
  await using cluster = await LoopbackCluster.start({ cluster: FAST });
  const certificates = await cluster.join("n1");
  const old = cluster.startAgentWith(certificates, {});
  await eventually("session", () => old.mesh !== undefined);
  const fresh = cluster.startAgentWith(certificates, {});
  await eventually("session", () => fresh.mesh !== undefined);
  await eventually("the old one was cut", () =>
    old.logged.some((line) => line.includes("session lost")),
  );
  await old.session.stop();
  const { nodeID } = fresh;
  await eventually("and the node is there", () => {
    return cluster.store.view().get("node", nodeID)?.status.state === "ready";
  });
});

test("a daemon that ends does not cost its tasks while they answer; when they do not, node and endpoints go", async () => {
  let isThere = true;
  await using cluster = await LoopbackCluster.start({ cluster: FAST, answers: () => isThere });
  const [one, two] = [await cluster.startAgent("n1"), await cluster.startAgent("n2")];
  await publish(cluster, [one, two]);
  await one.session.stop();
  const status = () => cluster.store.view().get("node", one.nodeID)?.status;
  await eventually("in doubt", () => status()?.state === "unknown");
  assert.equal(status()?.message, "the node's daemon does not answer, its tasks do");
  assert.equal(endpointState(two), "live");
  isThere = false;
  await eventually("down", () => status()?.state === "down");
  await eventually("gone from the mesh", () => endpointState(two) === undefined);
});

test("a daemon that stays away is given up after Docker's patience; what is connected to its tasks goes on", async () => {
  await using cluster = await LoopbackCluster.start({ cluster: FAST, answers: () => true });
  const [one, two] = [await cluster.startAgent("n1"), await cluster.startAgent("n2")];
  await publish(cluster, [one, two]);
  await one.session.stop();
  await eventually("down", () => {
    return cluster.store.view().get("node", one.nodeID)?.status.state === "down";
  });
  await eventually("draining", () => endpointState(two) === "draining");
  const again = cluster.startAgentWith(one.certificates, {});
  await eventually("live again", () => endpointState(again) === "live");
});
