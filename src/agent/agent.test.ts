import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { NetworkID } from "../base/ids.ts";
import type { PortConfig, Task, TaskState } from "../cluster/objects.ts";
import type { TaskLogMessage } from "../dispatcher/assignment.ts";
import { FakeNode } from "./fake-node.ts";
import { addressOf, makeMesh, makeTask } from "./fakes.ts";

let directory: string;
let nodes: FakeNode[];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "weft-agent-"));
  nodes = [];
});
afterEach(async () => {
  for (const node of nodes) await node.agent.stop();
  rmSync(directory, { recursive: true });
});

function makeNode(): FakeNode {
  const node = new FakeNode(directory);
  nodes.push(node);
  return node;
}

const desired = (task: Task, desiredState: TaskState): Task => ({ ...task, desiredState });
const published = (publishedPort?: number): Partial<Task> => {
  const port: PortConfig = { protocol: "tcp", targetPort: 80, publishMode: "host" };
  const ports = [publishedPort === undefined ? port : { ...port, publishedPort }];
  return { endpoint: { spec: { mode: "vip", ports }, ports, virtualIPs: [] } };
};

describe("a task on its node", () => {
  it("goes the whole way, in Docker's words", async () => {
    const node = await makeNode().start();
    node.agent.onMesh(makeMesh(1));
    await node.assign(makeTask("t1"));
    const words = node.reporter.statuses.map(({ status }) => `${status.state}: ${status.message}`);
    assert.deepEqual(words, [
      "accepted: accepted",
      "preparing: preparing",
      "ready: prepared",
      "starting: starting",
      "running: started",
    ]);
    const { config, state } = node.runtime.containerOf("t1") ?? assert.fail();
    assert.equal(config.name, "web.1.t1");
    assert.deepEqual(config.networks, [{ name: "ingress", addresses: ["10.0.0.1"] }]);
    assert.equal(config.labels["com.docker.swarm.task.name"], "web.1.t1");
    assert.deepEqual(node.reporter.statuses.at(-1)?.status.containerStatus, {
      containerID: state.containerID,
      pid: 4_242,
    });
    assert.deepEqual(node.runtime.networks.get("ingress"), { subnet: "10.0.0.0/24", ours: true });
  });

  it("runs only when the kernel has the way to it", async () => {
    const node = await makeNode().start();
    node.agent.onMesh(makeMesh(1));
    await node.settle();
    node.datapath.broken = true;
    await node.assign(makeTask("t1"));
    assert.deepEqual(node.reporter.statesOf("t1").at(-1), "starting");
    assert.equal(node.phaseOf("t1"), "running");
    node.datapath.broken = false;
    node.agent.onMesh(makeMesh(2));
    await node.settle();
    assert.equal(node.reporter.statesOf("t1").at(-1), "running");
    assert.deepEqual(node.datapath.last?.localLinks, [{ address: "10.0.0.1", link: "wv10.0.0.1" }]);
  });

  it("waits for its network to be known", async () => {
    const node = await makeNode().start();
    await node.assign(makeTask("t1"));
    assert.equal(node.reporter.statesOf("t1").at(-1), "preparing");
    node.agent.onMesh(makeMesh(1));
    await node.settle();
    assert.equal(node.reporter.statesOf("t1").at(-1), "running");
  });

  it("is put into each of its networks, and the overlay ones go when managers take them back", async () => {
    const node = await makeNode().start();
    const lan = {
      ...{ networkID: "lan-id", name: "lan", vni: 4097, subnets: ["10.7.0.0/24"] },
      ...{ internal: false, services: [], containers: [] },
    };
    const ingress = makeTask("t1").networksAttachments;
    const network = { id: "lan-id" as NetworkID, name: "lan", overlay: true } as const;
    const attachments = [...ingress, { network, addresses: ["10.7.0.5/24"] }];
    node.agent.onMesh(makeMesh(1));
    await node.assign(makeTask("t1", { networksAttachments: attachments }));
    assert.equal(node.reporter.statesOf("t1").at(-1), "preparing");
    node.agent.onMesh({ ...makeMesh(2), networks: [lan] });
    await node.settle();
    assert.deepEqual(node.runtime.containerOf("t1")?.config.networks, [
      { name: "ingress", addresses: ["10.0.0.1"] },
      { name: "lan", addresses: ["10.7.0.5"] },
    ]);
    assert.deepEqual([...node.runtime.networks.keys()], ["ingress", "lan"]);
    node.agent.onMesh(makeMesh(3));
    await node.settle();
    assert.deepEqual([...node.runtime.networks.keys()], ["ingress"]);
  });

  it("that exits has failed, with its code, and its container stays until it is unassigned", async () => {
    const node = await makeNode().start();
    node.agent.onMesh(makeMesh(1));
    await node.assign(makeTask("t1"), makeTask("t2"));
    node.runtime.exit("t1", 3);
    node.runtime.exit("t2", 0);
    await node.settle();
    assert.ok(node.reporter.said.includes("t1 failed: task: non-zero exit (3)"));
    assert.equal(node.reporter.statesOf("t2").at(-1), "complete");
    const ended = node.reporter.statuses.find(({ status }) => status.state === "failed");
    assert.equal(ended?.status.containerStatus?.exitCode, 3);
    assert.equal(node.phaseOf("t1"), "exited");
    await node.assign(makeTask("t2"));
    assert.equal(node.phaseOf("t1"), undefined);
    assert.equal(node.phaseOf("t2"), "exited");
  });

  it("whose image is nowhere is rejected", async () => {
    const node = await makeNode().start();
    node.agent.onMesh(makeMesh(1));
    const spec = { containerSpec: { image: "nowhere" }, forceUpdate: 0 };
    await node.assign(makeTask("t1", { spec }));
    assert.match(node.reporter.said.at(-1) ?? "", /^t1 rejected: No such image: nowhere:latest/);
  });

  it("whose start fails has failed with the Engine's words", async () => {
    const node = await makeNode().start();
    node.agent.onMesh(makeMesh(1));
    node.programs.set("t1", { startError: "exec: not found" });
    await node.assign(makeTask("t1"));
    assert.equal(
      node.reporter.said.at(-1),
      "t1 failed: starting container failed: exec: not found",
    );
  });

  it("runs when it is healthy, and fails when it is not", async () => {
    const node = await makeNode().start();
    node.agent.onMesh(makeMesh(1));
    node.programs.set("t1", { health: "starting" });
    await node.assign(makeTask("t1"));
    assert.equal(node.reporter.statesOf("t1").at(-1), "starting");
    node.runtime.setHealth("t1", "healthy");
    await node.settle();
    assert.equal(node.reporter.statesOf("t1").at(-1), "running");
    node.runtime.setHealth("t1", "unhealthy");
    await node.settle();
    assert.equal(
      node.reporter.said.at(-1),
      "t1 failed: task: non-zero exit (143): dockerexec: unhealthy container",
    );
  });

  it("stops when that is desired", async () => {
    const node = await makeNode().start();
    node.agent.onMesh(makeMesh(1));
    await node.assign(makeTask("t1"));
    await node.assign(desired(makeTask("t1"), "shutdown"));
    assert.equal(node.reporter.said.at(-1), "t1 shutdown");
    assert.equal(node.phaseOf("t1"), "exited");
  });

  it("stops while its image is still pulled", async () => {
    const node = await makeNode().start();
    node.agent.onMesh(makeMesh(1));
    const pull = Promise.withResolvers<void>();
    node.held = pull.promise;
    await node.assign(makeTask("t1"));
    assert.equal(node.reporter.statesOf("t1").at(-1), "preparing");
    await node.assign(desired(makeTask("t1"), "shutdown"));
    pull.resolve();
    node.held = undefined;
    await node.settle();
    assert.equal(node.reporter.statesOf("t1").at(-1), "shutdown");
    assert.equal(node.phaseOf("t1"), undefined);
  });

  it("waits at ready until more is desired, as in an update that stops first", async () => {
    const node = await makeNode().start();
    node.agent.onMesh(makeMesh(1));
    await node.assign(desired(makeTask("t1"), "ready"));
    assert.equal(node.reporter.statesOf("t1").at(-1), "ready");
    assert.equal(node.phaseOf("t1"), "created");
    await node.assign(makeTask("t1"));
    assert.equal(node.reporter.statesOf("t1").at(-1), "running");
  });
});

describe("a daemon that is started again", () => {
  it("adopts what runs: no container is touched, states are told again", async () => {
    const node = await makeNode().start();
    node.agent.onMesh(makeMesh(7, [8080], ["t1"]));
    await node.assign(makeTask("t1"));
    await node.restart();
    assert.deepEqual(node.operations, []);
    assert.equal(node.phaseOf("t1"), "running");
    assert.deepEqual(node.reporter.statesOf("t1"), ["running"]);
    assert.equal(node.agent.appliedRevision, 7);
    assert.equal(node.datapath.last?.services[0]?.endpoints.length, 1);
  });

  it("finds out what ended meanwhile", async () => {
    const node = await makeNode().start();
    node.agent.onMesh(makeMesh(1));
    await node.assign(makeTask("t1"));
    await node.agent.stop();
    node.runtime.exit("t1", 9);
    await node.restart();
    assert.equal(node.reporter.said.at(-1), "t1 failed: task: non-zero exit (9)");
  });

  it("removes containers of tasks that went meanwhile, but only on a manager's word", async () => {
    const node = await makeNode().start();
    node.agent.onMesh(makeMesh(1));
    await node.assign(makeTask("t1"));
    await node.agent.stop();
    rmSync(join(directory, "agent"), { recursive: true });
    await node.restart();
    assert.equal(node.phaseOf("t1"), "running");
    await node.assign();
    assert.equal(node.phaseOf("t1"), undefined);
  });

  it("remembers tasks and mesh in a file of root's, without credentials", async () => {
    const node = await makeNode().start();
    node.agent.onMesh(makeMesh(1));
    await node.assign(makeTask("t1"));
    const path = join(directory, "agent", "memory.json");
    assert.equal(statSync(path).mode & 0o777, 0o600);
    const text = readFileSync(path, "utf8");
    assert.ok(text.includes('"t1"') && !text.includes("c2VjcmV0"));
  });

  it("does not forget its tasks while the Engine is away", async () => {
    const node = await makeNode().start();
    node.agent.onMesh(makeMesh(1));
    await node.assign(makeTask("t1"));
    await node.agent.stop();
    node.runtime.setAvailable(false);
    await node.restart();
    node.agent.onMesh(makeMesh(2));
    await node.settle();
    await node.restart();
    node.runtime.setAvailable(true);
    await node.wait();
    assert.equal(node.reporter.statesOf("t1").at(-1), "running");
  });
});

describe("an Engine that is started again", () => {
  it("has ended its containers: they have failed", async () => {
    const node = await makeNode().start();
    node.agent.onMesh(makeMesh(1));
    await node.assign(makeTask("t1"));
    node.runtime.setAvailable(false);
    await node.settle();
    node.runtime.exit("t1", 137);
    node.runtime.setAvailable(true);
    await node.wait();
    assert.equal(node.reporter.said.at(-1), "t1 failed: task: non-zero exit (137)");
  });

  it("may have made its firewall anew: the kernel is looked at", async () => {
    const node = await makeNode().start();
    node.agent.onMesh(makeMesh(1));
    await node.settle();
    const before = node.datapath.audits;
    node.runtime.setAvailable(false);
    await node.settle();
    node.runtime.setAvailable(true);
    await node.wait();
    assert.equal(node.datapath.audits, before + 1);
  });

  it("goes on with what it was asked when it went away", async () => {
    const node = await makeNode().start();
    node.agent.onMesh(makeMesh(1));
    node.runtime.setAvailable(false);
    await node.assign(makeTask("t1"));
    node.runtime.setAvailable(true);
    await node.wait();
    assert.equal(node.reporter.statesOf("t1").at(-1), "running");
  });
});

describe("published ports of the mesh", () => {
  it("are held before the kernel has them, and let go after", async () => {
    const node = await makeNode().start();
    node.agent.onMesh(makeMesh(1, [8080]));
    await node.settle();
    assert.deepEqual(node.keeper.asked, [["tcp/8080"]]);
    assert.deepEqual([...(node.datapath.last?.heldPorts ?? [])], ["tcp/8080"]);
    const { promise, resolve } = Promise.withResolvers<void>();
    node.datapath.gate = promise;
    node.agent.onMesh(makeMesh(2, [9090]));
    for (let turn = 0; turn < 20; turn += 1) await new Promise((done) => setImmediate(done));
    assert.deepEqual(node.keeper.asked.at(-1), ["tcp/9090", "tcp/8080"]);
    resolve();
    await node.settle();
    assert.deepEqual(node.keeper.asked.at(-1), ["tcp/9090"]);
    assert.deepEqual(
      node.reporter.said.filter((text) => text.startsWith("applied")),
      ["applied 1", "applied 2"],
    );
  });

  it("that a process has are a problem and not answered, until they are free", async () => {
    const node = await makeNode().start();
    node.keeper.setBusy("tcp/8080", true);
    node.agent.onMesh(makeMesh(1, [8080, 9090]));
    await node.settle();
    assert.ok(node.reporter.said.includes("problems [8080/tcp address already in use]"));
    assert.deepEqual([...(node.datapath.last?.heldPorts ?? [])], ["tcp/9090"]);
    node.keeper.setBusy("tcp/8080", false);
    await node.settle();
    assert.equal(node.reporter.said.at(-1), "problems []");
    assert.deepEqual([...(node.datapath.last?.heldPorts ?? [])].sort(), ["tcp/8080", "tcp/9090"]);
  });

  it("go on as they were while the keeper is away, and so do endpoints", async () => {
    const node = await makeNode().start();
    node.agent.onMesh(makeMesh(1, [8080]));
    await node.assign(makeTask("t1"));
    node.keeper.setAvailable(false);
    await node.settle();
    node.agent.onMesh(makeMesh(2, [8080, 9090], ["t1"]));
    await node.settle();
    assert.equal(node.agent.appliedRevision, 2);
    assert.deepEqual([...(node.datapath.last?.heldPorts ?? [])], ["tcp/8080"]);
    assert.equal(node.datapath.last?.services[0]?.endpoints.length, 1);
    node.keeper.setAvailable(true);
    await node.wait();
    assert.deepEqual([...(node.datapath.last?.heldPorts ?? [])].sort(), ["tcp/8080", "tcp/9090"]);
  });

  it("nothing is applied before the keeper has said what it has", async () => {
    const node = makeNode();
    node.keeper.setAvailable(false);
    await node.start();
    node.agent.onMesh(makeMesh(1, [8080], ["t1"]));
    await node.settle();
    assert.equal(node.datapath.views.length, 0);
  });

  it("a local task that lost its link is sent nothing, whatever managers still say", async () => {
    const node = await makeNode().start();
    node.agent.onMesh(makeMesh(1, [8080], ["t1"]));
    await node.assign(makeTask("t1"));
    assert.equal(node.datapath.last?.services[0]?.endpoints.length, 1);
    node.keeper.leave(addressOf("t1"));
    await node.settle();
    assert.equal(node.datapath.last?.services[0]?.endpoints.length, 0);
  });
});

describe("host-mode ports", () => {
  it("lead to the task, and are let go when it has ended", async () => {
    const node = await makeNode().start();
    node.agent.onMesh(makeMesh(1));
    await node.assign(makeTask("t1", published(8080)));
    assert.deepEqual(node.datapath.last?.hostPorts, [
      { taskID: "t1", address: "10.0.0.1", protocol: "tcp", publishedPort: 8080, targetPort: 80 },
    ]);
    const [port] = node.reporter.statuses.at(-1)?.status.portStatus?.ports ?? [];
    assert.equal(port?.publishedPort, 8080);
    node.runtime.exit("t1", 0);
    await node.settle();
    assert.deepEqual(node.datapath.last?.hostPorts, []);
    assert.deepEqual(node.keeper.asked.at(-1), []);
  });

  it("are for whom the service's labels say now, without another task", async () => {
    const node = await makeNode().start();
    node.agent.onMesh(makeMesh(1));
    const task = makeTask("t1", published(8080));
    await node.assign(task);
    const labels = { "weft.publish.allow": "10.0.0.0/8" };
    await node.assign({ ...task, serviceAnnotations: { ...task.serviceAnnotations, labels } });
    assert.deepEqual(node.datapath.last?.hostPorts[0]?.allowedSources, ["10.0.0.0/8"]);
    assert.equal(node.phaseOf("t1"), "running");
  });

  it("that a process has fail the task instead of starting it", async () => {
    const node = await makeNode().start();
    node.keeper.setBusy("tcp/8080", true);
    node.agent.onMesh(makeMesh(1));
    await node.assign(makeTask("t1", published(8080)));
    assert.equal(node.reporter.said.at(-1), "t1 failed: port 8080/tcp: address already in use");
    assert.equal(node.phaseOf("t1"), "created");
  });

  it("that another task here has, too", async () => {
    const node = await makeNode().start();
    node.agent.onMesh(makeMesh(1));
    await node.assign(makeTask("t1", published(8080)), makeTask("t2", published(8080)));
    const failed = node.reporter.said.filter((text) => text.includes("failed"));
    assert.equal(failed.length, 1);
    assert.match(failed[0] ?? "", /^t[12] failed: port 8080\/tcp: address already in use$/);
  });

  it("that nobody named are chosen high, each task its own, around those that are busy", async () => {
    const node = await makeNode().start();
    node.agent.onMesh(makeMesh(1));
    const first = await portOf(node, "t1");
    await node.assign();
    node.keeper.setBusy(`tcp/${first}`, true);
    const again = await makeNode().start();
    again.keeper.setBusy(`tcp/${first}`, true);
    again.agent.onMesh(makeMesh(1));
    const second = await portOf(again, "t2");
    assert.ok(first >= 30_000 && first <= 32_767);
    assert.notEqual(first, second);
  });

  it("stay the same over a restart of the daemon", async () => {
    const node = await makeNode().start();
    node.agent.onMesh(makeMesh(1));
    const before = await portOf(node, "t1");
    await node.restart();
    assert.equal(node.datapath.last?.hostPorts[0]?.publishedPort, before);
    assert.deepEqual(node.keeper.asked.at(-1), [`tcp/${before}`]);
  });

  async function portOf(node: FakeNode, taskID: string): Promise<number> {
    await node.assign(makeTask(taskID, published()));
    return node.datapath.last?.hostPorts[0]?.publishedPort ?? 0;
  }
});

describe("the node", () => {
  it("describes itself, with its own host name", async () => {
    const node = await makeNode().start();
    assert.equal((await node.agent.description()).hostname, "n1");
    assert.equal(node.reporter.description?.engine.engineVersion, "fake");
  });

  it("says that its runtime is away once that has lasted, and that it is back", async () => {
    const node = await makeNode().start();
    const problem = () => node.reporter.description?.runtimeProblem;
    node.runtime.setAvailable(false);
    await node.wait();
    assert.equal(problem(), undefined, "it may restart");
    await node.wait();
    assert.match(problem() ?? "", /^its container runtime is away: /);
    const told = node.logged.filter((line) => /"?warn.*runtime does not answer/.test(line));
    assert.equal(told.length, 1, told.join("\n"));
    node.runtime.setAvailable(true);
    await node.wait();
    assert.equal(problem(), undefined);
  });

  it("leaves nothing behind when it leaves the cluster", async () => {
    const node = await makeNode().start();
    node.agent.onMesh(makeMesh(1));
    await node.assign(makeTask("t1"), makeTask("t2"));
    assert.deepEqual(node.keeper.nameSets, ["outside"]);
    await node.agent.clear();
    await node.settle();
    assert.equal(node.runtime.containers.size, 0);
    assert.equal(node.runtime.networks.size, 0);
    assert.deepEqual(node.keeper.nameSets, []);
    assert.throws(() => statSync(join(directory, "agent", "memory.json")));
  });
});

it("an Engine that does not answer cannot keep a node in its cluster", async () => {
  const node = await makeNode().start();
  node.agent.onMesh(makeMesh(1));
  await node.assign(makeTask("t1"));
  node.runtime.setAvailable(false);
  const cleared = node.agent.clear();
  node.clock.advance(70_000);
  await cleared;
  assert.ok(node.logged.some((line) => line.includes("are not all removed")));
});

describe("logs of tasks", () => {
  const subscription = { id: "s", stdout: true, stderr: true };

  it("come with task, stream and time", async () => {
    const node = await makeNode().start();
    node.agent.onMesh(makeMesh(1));
    for (const id of ["t1", "t2"]) {
      node.programs.set(id, { output: [{ stream: "stdout", text: `I am ${id}\n` }] });
    }
    await node.assign(makeTask("t1"), makeTask("t2"), makeTask("t3"));
    const lines: TaskLogMessage[] = [];
    const taskIDs = ["t1", "t2", "unknown"];
    const { signal } = new AbortController();
    for await (const line of node.agent.onLogs(
      { ...subscription, taskIDs, follow: false },
      signal,
    )) {
      lines.push(line);
    }
    const texts = lines.map(({ taskID, data }) => `${taskID} ${Buffer.from(data).toString()}`);
    assert.deepEqual(texts.sort(), ["t1 I am t1\n", "t2 I am t2\n"]);
    assert.match(lines[0]?.timestamp ?? "", /^\d{4}-.*Z$/);
    assert.equal(lines[0]?.nodeID, "node-1");
  });

  it("of a task that has no container yet are followed once it has", async () => {
    const node = await makeNode().start();
    node.programs.set("t1", { output: [{ stream: "stderr", text: "late\n" }] });
    await node.assign(makeTask("t1"));
    const reading = new AbortController();
    const lines = node.agent
      .onLogs({ ...subscription, taskIDs: ["t1"], follow: true }, reading.signal)
      [Symbol.asyncIterator]();
    const first = lines.next();
    node.agent.onMesh(makeMesh(1));
    await node.settle();
    const { value } = (await first) as IteratorYieldResult<TaskLogMessage>;
    assert.equal(Buffer.from(value.data).toString(), "late\n");
    const second = lines.next();
    reading.abort();
    assert.equal((await second).done, true);
  });
});
