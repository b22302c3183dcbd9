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
  served6: new Set(served),
  addresses6: new Set(),
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

  it("is not looked at again and again while it has as many sockets as before", async () => {
    node.sockets = sockets(["tcp/80"], 1);
    node.socketCounts = "TCP: inuse 2";
    await node.assign(publishing("tcp"));
    await node.assign({ ...publishing("tcp"), desiredState: "shutdown" });
    const before = node.socketReads;
    for (let ms = 0; ms < 400; ms += 100) await pass(100);
    assert.equal(node.socketReads, before);
    await pass(200);
    assert.equal(node.socketReads, before + 1, "states may have changed");
    node.sockets = sockets(["tcp/80"]);
    node.socketCounts = "TCP: inuse 1";
    await pass(100);
    assert.equal(stateNow()?.state, "shutdown");
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

describe("a task in users' networks alone", () => {
  const LAN = { networkID: "lan-id", name: "lan", vni: 4097, subnets: ["10.0.1.0/24"] };
  const inner = (overrides: Partial<Task> = {}): Task =>
    makeTask("t1", {
      networksAttachments: [
        { network: { id: "lan-id", name: "lan", overlay: true }, addresses: ["10.0.1.5/24"] },
      ] as unknown as Task["networksAttachments"],
      ...overrides,
    });
  const lan = (revision: number, state: "starting" | "live" | "draining") => ({
    ...makeMesh(revision),
    networks: [
      {
        ...{ ...LAN, internal: false, containers: [] },
        services: [
          {
            ...{ serviceID: "service-1", serviceName: "web", aliases: [], virtualIPs: [] },
            endpoints: [
              {
                ...{ taskID: "t1", taskName: "web.1.t1", aliases: [], addresses: ["10.0.1.5"] },
                ...{ nodeIndex: 1, state },
              },
            ],
          },
        ],
      },
    ],
  });
  beforeEach(() => node.agent.onMesh(lan(2, "starting")));

  it("runs at once where its image names no port", async () => {
    node.sockets = sockets([]);
    await node.assign(inner());
    assert.equal(stateNow()?.state, "running");
  });

  it("runs as soon as it listens on one of the ports that its image names", async () => {
    node.programs.set("t1", { exposedPorts: ["tcp/80", "tcp/443"] });
    node.sockets = sockets(["udp/33333"]);
    await node.assign(inner());
    assert.equal(stateNow()?.state, "starting");
    node.sockets = sockets(["tcp/443"]);
    await pass(60);
    assert.equal(stateNow()?.state, "running");
  });

  it("runs all the same when it listens on none of them for five seconds", async () => {
    node.programs.set("t1", { exposedPorts: ["tcp/80"] });
    node.sockets = sockets([]);
    await node.assign(inner());
    for (let ms = 0; ms < SERVING_MS_MAX - 500; ms += 500) await pass(500);
    assert.equal(stateNow()?.state, "starting");
    await pass(500);
    assert.equal(stateNow()?.state, "running");
  });

  it("is asked for its health alone where it has a check", async () => {
    node.programs.set("t1", { exposedPorts: ["tcp/80"], health: "starting" });
    node.sockets = sockets(["tcp/80"]);
    await node.assign(inner());
    assert.equal(stateNow()?.state, "starting");
    node.sockets = sockets([]);
    node.runtime.setHealth("t1", "healthy");
    await node.settle();
    assert.equal(stateNow()?.state, "running");
  });

  it("keeps its connections, and reads its datagrams, at whichever port it listens on", async () => {
    node.sockets = sockets(["tcp/80"], 1);
    await node.assign(inner());
    await node.assign({ ...inner(), desiredState: "shutdown" });
    assert.equal(stateNow()?.err, "draining, 1 connection");
    node.sockets = sockets(["udp/80"], 0, true);
    await pass(ANSWER_MS);
    assert.equal(node.phaseOf("t1"), "running", "a datagram is not read yet");
    node.sockets = sockets(["udp/80"]);
    await pass(ANSWER_MS - 60);
    assert.equal(node.phaseOf("t1"), "running", "it may still work on an answer");
    await pass(60);
    assert.equal(stateNow()?.state, "shutdown");
  });

  it("is stopped, once it is unhealthy, when no virtual IP leads to it any more", async () => {
    await node.assign(inner());
    node.agent.onMesh(lan(3, "live"));
    await node.settle();
    node.runtime.setHealth("t1", "unhealthy");
    await node.settle();
    assert.deepEqual([stateNow()?.state, node.phaseOf("t1")], ["running", "running"]);
    node.agent.onMesh(lan(4, "draining"));
    await node.settle();
    assert.equal(stateNow()?.state, "failed");
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
