import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "../base/clock.ts";
import { UnavailableError } from "../base/errors.ts";
import { createLogger } from "../base/logger.ts";
import { seededRandom } from "../base/random.ts";
import { makeNode, makeTask } from "../cluster/factories.ts";
import type { TaskStatus } from "../cluster/objects.ts";
import { createMemoryStore } from "../cluster/open-store.ts";
import type { Store } from "../cluster/store.ts";
import type { HostTrace, TraceQuestion } from "../datapath/host-trace.ts";
import { Dispatcher } from "./dispatcher.ts";
import { describeHost, eventually, LoopbackCluster } from "./loopback-cluster.ts";

const status = (state: TaskStatus["state"], message: string = state): TaskStatus => ({
  timestamp: new Date().toISOString(),
  state,
  message,
});

test("a node joins, is described and ready", async () => {
  await using cluster = await LoopbackCluster.start();
  const agent = await cluster.startAgent("n1");
  const node = await eventually("ready", () => {
    const found = cluster.store.view().get("node", agent.nodeID);
    return found?.status.state === "ready" && found;
  });
  assert.equal(node.spec.role, "worker");
  assert.equal(node.status.addr, "127.0.0.1");
  assert.equal(node.description?.hostname, agent.nodeID.slice(0, 6));
  await eventually("welcome", () => agent.roles.length > 0);
  assert.deepEqual(agent.roles, ["worker"]);
});

test("a node whose runtime is away is down, by its own word, whenever it is heard", async () => {
  await using cluster = await LoopbackCluster.start();
  const certificates = await cluster.join("n1");
  const { nodeID } = certificates.identity;
  const said = () => cluster.store.view().get("node", nodeID)?.status;
  const agent = cluster.startAgentWith(certificates, {});
  await eventually("ready", () => said()?.state === "ready");
  const description = describeHost("n1");
  const runtimeProblem = "its container runtime is away: no answer";
  agent.session.reportDescription({ ...description, runtimeProblem });
  await eventually("down", () => said()?.state === "down");
  assert.equal(said()?.message, runtimeProblem);
  agent.session.reportDescription(description);
  await eventually("ready again", () => said()?.state === "ready");
  assert.equal(said()?.message, undefined);
});

test("a node says where its tunnels end, and the others are told, until it says so no more", async () => {
  await using cluster = await LoopbackCluster.start();
  const certificates = await cluster.join("n1");
  const { nodeID } = certificates.identity;
  const said = () => cluster.store.view().get("node", nodeID)?.status;
  const agent = cluster.startAgentWith(certificates, { dataPathAddr: "10.1.0.7" });
  await eventually("heard", () => said()?.dataPathAddr === "10.1.0.7");
  assert.equal(said()?.addr, "127.0.0.1");
  await agent.session.stop();
  cluster.startAgentWith(certificates, {});
  await eventually("heard again", () => said()?.state === "ready" && !said()?.dataPathAddr);
  const hostile = cluster.startAgentWith(certificates, { dataPathAddr: "10.1.0.7; flush" });
  await eventually("refused", () => hostile.logged.some((line) => line.includes("invalid")));
  assert.equal(said()?.dataPathAddr, undefined);
});

test("assignments come whole, then as changes; statuses go back and are stored", async () => {
  await using cluster = await LoopbackCluster.start();
  const agent = await cluster.startAgent("n1");
  const nodeID = agent.nodeID;
  await cluster.store.update((tx) => {
    tx.put("task", makeTask({ id: "t1", nodeID, state: "assigned" }));
    tx.put("task", makeTask({ id: "t2", nodeID, state: "assigned" }));
    tx.put("task", makeTask({ id: "elsewhere", nodeID: "another", state: "assigned" }));
    tx.put("task", makeTask({ id: "pending", nodeID, state: "pending" }));
  });
  await eventually("two tasks", () => agent.tasks.length === 2);
  assert.deepEqual(agent.tasks.map(({ task }) => task.id).sort(), ["t1", "t2"]);

  const setsBefore = agent.taskSets;
  agent.session.reportStatus({ taskID: "t1", status: status("preparing") });
  agent.session.reportStatus({ taskID: "t1", status: status("running", "started") });
  agent.session.reportStatus({ taskID: "t2", status: status("rejected") });
  await eventually("stored", () => {
    const view = cluster.store.view();
    const states = ["t1", "t2"].map((id) => view.get("task", id)?.status.state);
    return states[0] === "running" && states[1] === "rejected";
  });
  assert.equal(cluster.store.view().get("task", "t1")?.status.message, "started");

  await cluster.store.update((tx) => tx.delete("task", "t2"));
  await eventually("one task", () => agent.tasks.length === 1);
  assert.equal(agent.taskSets, setsBefore + 1, "a node is not told what it said itself");
});

test("a restarted manager is found again, and what it missed is said again", async () => {
  await using cluster = await LoopbackCluster.start();
  const agent = await cluster.startAgent("n1");
  const nodeID = agent.nodeID;
  await cluster.store.update((tx) =>
    tx.put("task", makeTask({ id: "t1", nodeID, state: "assigned" })),
  );
  await eventually("one task", () => agent.tasks.length === 1);
  await cluster.stopManager();
  await eventually("lost", () => agent.logged.some((line) => line.includes("session lost")));
  agent.session.reportStatus({ taskID: "t1", status: status("running") });
  await cluster.store.update((tx) =>
    tx.put("task", makeTask({ id: "t2", nodeID, state: "assigned" })),
  );
  await cluster.startManager();
  await eventually("status kept over the restart", () => {
    return cluster.store.view().get("task", "t1")?.status.state === "running";
  });
  await eventually("the new task too", () => agent.tasks.length === 2);
  await eventually("ready again", () => {
    return cluster.store.view().get("node", nodeID)?.status.state === "ready";
  });
});

test("a removed node is told so, and refused when it comes again", async () => {
  await using cluster = await LoopbackCluster.start();
  const agent = await cluster.startAgent("n1");
  await eventually("mesh", () => agent.mesh !== undefined);
  await cluster.store.update((tx) => tx.delete("node", agent.nodeID));
  const reason = await eventually("told", () => agent.removed);
  assert.equal(reason, `node ${agent.nodeID} was removed from the cluster`);
  const again = cluster.startAgentWith(agent.certificates, {});
  assert.equal(await eventually("refused", () => again.removed), reason);
});

test("a node that leaves is down at once, and a stranger to the others", async () => {
  await using cluster = await LoopbackCluster.start();
  const agent = await cluster.startAgent("n1");
  const other = await cluster.startAgent("n2");
  await cluster.store.update((tx) => {
    for (const [index, { nodeID }] of [agent, other].entries()) {
      const node = tx.get("node", nodeID);
      assert.ok(node);
      tx.put("node", { ...node, index: index + 1, ingressAddress: `10.255.0.${index + 2}` });
    }
  });
  await eventually("both in the mesh", () => other.mesh?.nodes.length === 2);
  await agent.session.leave();
  const node = cluster.store.view().get("node", agent.nodeID);
  assert.equal(node?.status.state, "down");
  const left = await eventually("one less", () => other.mesh?.nodes.length === 1 && other.mesh);
  assert.deepEqual(
    left.nodes.map(({ nodeID }) => nodeID),
    [other.nodeID],
  );
});

test("a lying agent changes nothing but its own tasks", async () => {
  await using cluster = await LoopbackCluster.start();
  const agent = await cluster.startAgent("n1");
  const nodeID = agent.nodeID;
  await cluster.store.update((tx) => {
    tx.put("task", makeTask({ id: "own", nodeID, state: "running" }));
    tx.put("task", makeTask({ id: "other", nodeID: "another", state: "running" }));
  });
  await eventually("one task", () => agent.tasks.length === 1);
  agent.session.reportStatus({ taskID: "other", status: status("failed") });
  agent.session.reportStatus({ taskID: "own", status: status("preparing") });
  agent.session.reportStatus({ taskID: "no-such-task", status: status("failed") });
  await eventually("logged", () =>
    cluster.logged.some((line) => line.includes("a task that is not its own")),
  );
  const view = cluster.store.view();
  assert.equal(view.get("task", "other")?.status.state, "running");
  assert.equal(view.get("task", "own")?.status.state, "running", "states only move forward");

  agent.session.reportStatus({ taskID: "own", status: status("orphaned") });
  await eventually("cut off", () => cluster.logged.some((line) => line.includes("cannot report")));
  assert.equal(cluster.store.view().get("task", "own")?.status.state, "running");
});

test("nodes are asked what their kernels hold, and one that does not answer is missing", async () => {
  await using cluster = await LoopbackCluster.start();
  const talking = await cluster.startAgent("n1");
  const silent = await cluster.startAgent("n2");
  const live = ["10.255.0.9"];
  talking.kernel = {
    revision: 3,
    ports: [{ protocol: "tcp", publishedPort: 8080, live }],
    routed: live,
    connections: { "10.255.0.9": 2 },
    publishDefault: ["192.168.99.0/24"],
  };
  await eventually("both ready", () => talking.roles.length > 0 && silent.roles.length > 0);
  const { kernels } = await cluster.dispatcher.surveyMesh();
  assert.deepEqual([...kernels], [[talking.nodeID, talking.kernel]]);
});

test("a node is asked what becomes of a packet; one that does not answer, or is not there, says nothing", async () => {
  await using cluster = await LoopbackCluster.start();
  const talking = await cluster.startAgent("n1");
  const silent = await cluster.startAgent("n2");
  const asked: TraceQuestion[] = [];
  const trace: HostTrace = {
    revision: 3,
    port: {
      ...{ held: true, answered: true },
      service: { id: "s", name: "web", live: 1, draining: 0, boundTo: ["10.0.0.0/8"] },
    },
    endpoints: 1,
    ways: [
      {
        steps: ["n1: led to 10.255.0.9:80"],
        outcome: {
          ...{ kind: "tunnel", at: "n1", to: "n2" },
          packet: {
            from: { host: "n2", link: "weft0", etherSource: "02:42:0a:ff:00:02" },
            ...{ source: "1.1.1.1", destination: "10.255.0.9", protocol: "tcp", port: 80 },
          },
        },
      },
    ],
    wanted: [
      { steps: [], outcome: { kind: "dropped", at: "n1", in: "forward" } },
      {
        steps: [],
        outcome: {
          ...{ kind: "task", at: "n1", to: "10.255.0.9:80" },
          ...{ seenAs: "1.1.1.1", replyThrough: "n1" },
        },
      },
      { steps: [], outcome: { kind: "gone", at: "n1", source: "1.1.1.1" } },
      { steps: [], outcome: { kind: "process", at: "n1" } },
      { steps: [], outcome: { kind: "refused", at: "n1" } },
    ],
    known: [{ state: "ESTABLISHED", to: "10.255.0.9:80" }],
    unknown: ["inet weft nat_prerouting"],
  };
  talking.trace = (packet) => {
    asked.push(packet);
    return trace;
  };
  await eventually("both ready", () => talking.roles.length > 0 && silent.roles.length > 0);
  const packet: TraceQuestion = {
    from: { kind: "uplink" },
    ...{ source: "1.1.1.1", destination: "192.168.99.100", protocol: "tcp", port: 8080 },
    clientPort: 4000,
  };
  const { revision, ...said } = await cluster.dispatcher.traceOn(talking.nodeID, packet);
  assert.deepEqual(said, { trace });
  assert.deepEqual(asked, [packet]);
  assert.deepEqual(await cluster.dispatcher.traceOn(silent.nodeID, packet), { revision });
  assert.deepEqual(await cluster.dispatcher.traceOn("nobody", packet), { revision });
});

test("a manager whose store takes nothing starts all the same, with the nodes as they were", async () => {
  const store = createMemoryStore();
  const node = makeNode();
  await store.update((tx) => tx.put("node", node));
  const error = new UnavailableError("cannot write the cluster store: the disk is full, make room");
  const full: Store = {
    ...{ secrets: store.secrets, update: () => Promise.reject(error), close: () => store.close() },
    view: () => store.view(),
    subscribe: (listener) => store.subscribe(listener),
    watch: (revision, signal) => store.watch(revision, signal),
  };
  const lines: string[] = [];
  const log = createLogger({ write: (line) => void lines.push(line) });
  const random = seededRandom(1);
  const dispatcher = new Dispatcher({
    store: full,
    clock: new FakeClock(),
    random,
    log,
    onGone() {},
  });
  await dispatcher.start();
  assert.ok(lines.some((line) => line.includes("the disk is full, make room")));
  assert.equal(store.view().get("node", node.id)?.status.state, "ready");
  await dispatcher.stop();
});
