/** What a task's traffic has to do with its life: served before it runs, done before it is stopped. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { PortConfig, Task } from "../cluster/objects.ts";
import { FakeNode } from "./fake-node.ts";
import { makeMesh, makeTask } from "./fakes.ts";
import type { TaskSockets } from "./task-sockets.ts";
import { ANSWER_MS, SERVING_MS_MAX } from "./traffic-watch.ts";

let directory: string;
let node: FakeNode;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "weft-traffic-"));
  node = await new FakeNode(directory).start();
  node.agent.onMesh(makeMesh(1));
});
afterEach(async () => {
  await node.agent.stop();
  rmSync(directory, { recursive: true });
});

function publishing(protocol: "tcp" | "udp", labels: Record<string, string> = {}): Task {
  const port: PortConfig = {
    protocol,
    targetPort: 80,
    publishedPort: 8080,
    publishMode: "ingress",
  };
  return makeTask("t1", {
    endpoint: { spec: { mode: "vip", ports: [port] }, ports: [port], virtualIPs: [] },
    serviceAnnotations: { name: "web", labels },
  });
}
const sockets = (served: readonly string[], connections = 0, unread = false): TaskSockets => ({
  served: new Set(served),
  connections: new Map([[80, connections]]),
  unread: new Set(unread ? [80] : []),
});
const stateNow = () => node.reporter.statuses.at(-1)?.status;
async function pass(ms: number): Promise<void> {
  node.clock.advance(ms);
  await node.settle();
}

describe("a task that publishes a port", () => {
  it("runs as soon as it serves it", async () => {
    node.sockets = sockets([]);
    await node.assign(publishing("tcp"));
    assert.equal(stateNow()?.state, "starting");
    node.sockets = sockets(["tcp/80"]);
    await pass(60);
    assert.equal(stateNow()?.state, "running");
  });

  it("runs all the same when its time to serve is over", async () => {
    node.sockets = sockets(["udp/80"]);
    await node.assign(publishing("tcp"));
    for (let ms = 0; ms < SERVING_MS_MAX; ms += 500) await pass(500);
    assert.equal(stateNow()?.state, "running");
  });

  it("is stopped at once when it has no connection", async () => {
    node.sockets = sockets(["tcp/80"]);
    await node.assign(publishing("tcp"));
    await node.assign({ ...publishing("tcp"), desiredState: "shutdown" });
    assert.equal(stateNow()?.state, "shutdown");
  });

  it("keeps its connections until they are done, and says how many there are", async () => {
    node.sockets = sockets(["tcp/80"], 3);
    await node.assign(publishing("tcp"));
    await node.assign({ ...publishing("tcp"), desiredState: "shutdown" });
    await pass(200);
    assert.equal(node.phaseOf("t1"), "running");
    assert.equal(stateNow()?.err, "draining, 3 connections");
    node.sockets = sockets(["tcp/80"], 1);
    await pass(1_000);
    assert.equal(stateNow()?.err, "draining, 1 connection");
    node.sockets = sockets(["tcp/80"], 0);
    await pass(200);
    assert.deepEqual([stateNow()?.state, stateNow()?.err], ["shutdown", undefined]);
  });

  it("is stopped with its connections after the stop grace period", async () => {
    node.sockets = sockets(["tcp/80"], 1);
    await node.assign(publishing("tcp"));
    await node.assign({ ...publishing("tcp"), desiredState: "shutdown" });
    for (let ms = 0; ms < 9_500; ms += 500) await pass(500);
    assert.equal(node.phaseOf("t1"), "running");
    for (let ms = 0; ms < 1_000; ms += 500) await pass(500);
    assert.equal(stateNow()?.state, "shutdown");
  });

  it("or after the time that its service's label names", async () => {
    node.sockets = sockets(["tcp/80"], 1);
    const task = publishing("tcp", { "weft.drain.timeout": "1s" });
    await node.assign(task);
    await node.assign({ ...task, desiredState: "shutdown" });
    await pass(900);
    assert.equal(node.phaseOf("t1"), "running");
    await pass(200);
    assert.equal(stateNow()?.state, "shutdown");
  });

  it("reads the datagrams that have reached it, and has time to answer, before it is stopped", async () => {
    node.sockets = sockets(["udp/80"], 0, true);
    await node.assign(publishing("udp"));
    await node.assign({ ...publishing("udp"), desiredState: "shutdown" });
    assert.equal(node.phaseOf("t1"), "running");
    await pass(ANSWER_MS);
    assert.equal(node.phaseOf("t1"), "running", "it has not read them yet");
    node.sockets = sockets(["udp/80"]);
    await pass(ANSWER_MS - 60);
    assert.equal(node.phaseOf("t1"), "running", "it may still work on an answer");
    await pass(60);
    assert.equal(stateNow()?.state, "shutdown");
  });
});

describe("a task that turns unhealthy", () => {
  const live = (revision: number, state: "live" | "draining") => {
    const mesh = makeMesh(revision, [8080], ["t1"]);
    const [service] = mesh.services;
    if (service === undefined) assert.fail();
    const endpoints = service.endpoints.map((endpoint) => ({ ...endpoint, state }));
    return { ...mesh, services: [{ ...service, endpoints }] };
  };
  const sicken = async () => {
    await node.assign(makeTask("t1"));
    node.agent.onMesh(live(2, "live"));
    await node.settle();
    node.runtime.setHealth("t1", "unhealthy");
    await node.settle();
  };

  it("is told of at once, and stopped when nothing is led to it any more", async () => {
    await sicken();
    assert.deepEqual([stateNow()?.state, stateNow()?.unhealthy], ["running", true]);
    assert.equal(node.phaseOf("t1"), "running");
    node.agent.onMesh(live(3, "draining"));
    await node.settle();
    assert.equal(stateNow()?.state, "failed");
    assert.match(stateNow()?.err ?? "", /unhealthy container/);
  });

  it("is stopped in the end though no manager takes it out", async () => {
    await sicken();
    await pass(5_000);
    assert.equal(stateNow()?.state, "failed");
  });
});
