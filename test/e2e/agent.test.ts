/** The agent over a real Engine and a real keeper on a host of the lab; only the kernel's rules are not applied. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { Agent } from "../../src/agent/agent.ts";
import {
  addressOf,
  FakeDatapath,
  FakeReporter,
  makeMesh,
  makeTask,
} from "../../src/agent/fakes.ts";
import { systemClock } from "../../src/base/clock.ts";
import { silentLogger } from "../../src/base/logger.ts";
import { systemRandom } from "../../src/base/random.ts";
import type { PortConfig, Task } from "../../src/cluster/objects.ts";
import { NO_PAYLOADS } from "../../src/dispatcher/assignment.ts";
import { Lab } from "../../src/lab/lab.ts";
import { labUnavailable } from "../../src/lab/requirements.ts";
import { until } from "../../src/lab/until.ts";
import { DockerRuntime } from "../../src/runtime/docker/docker-runtime.ts";
import { KeeperHost } from "./keeper-host.ts";

const skip = (await labUnavailable()) ?? false;
const STOPS_AT_ONCE = "trap 'exit 0' TERM; while :; do sleep 0.1; done";

describe("the agent on a real host", { skip }, () => {
  let lab: Lab;
  let keeper: KeeperHost;
  let runtime: DockerRuntime;
  let directory: string;
  let agent: Agent;
  let reporter: FakeReporter;
  let datapath: FakeDatapath;

  const engine = (...args: string[]) => lab.host(1).engineOk(args);
  const startAgent = async () => {
    reporter = new FakeReporter();
    datapath = new FakeDatapath();
    agent = new Agent(
      {
        runtime,
        keeper: keeper.client,
        ensureKeeper: async () => {},
        datapath,
        clock: systemClock,
        random: systemRandom,
        log: silentLogger,
        interfaces: () => ({}),
      },
      {
        nodeID: "node-1",
        hostname: "n1",
        dataDir: directory,
        secretsDir: join(directory, "secrets"),
        onRemoved() {},
        onRole() {},
      },
    );
    await agent.start();
    agent.setReporter(reporter);
  };
  const assign = (...tasks: Task[]) =>
    agent.onTasks(
      tasks.map((task) => ({ task })),
      NO_PAYLOADS,
    );
  const reached = (taskID: string, state: string) =>
    until(() => reporter.statesOf(taskID).includes(state), {
      what: `${taskID} to be ${state}`,
      timeoutMs: 60_000,
      intervalMs: 5,
    });

  before(async () => {
    lab = await Lab.create({ hosts: 1, clients: 0, images: ["busybox"] });
    keeper = new KeeperHost(lab.host(1));
    await keeper.start();
    runtime = new DockerRuntime({ clock: systemClock }, { socketPath: lab.host(1).engineSocket });
    directory = mkdtempSync(join(tmpdir(), "weft-agent-"));
    await startAgent();
  });
  after(async () => {
    await agent?.stop();
    runtime?.close();
    await lab?.[Symbol.asyncDispose]();
    if (directory !== undefined) rmSync(directory, { recursive: true });
  });

  it("makes its network on the Engine, again when it was pruned, anew with another subnet", async () => {
    const ingress = { name: "ingress", subnets: ["10.0.0.0/24"] };
    const subnet = async () =>
      (
        await engine("network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", "ingress")
      ).trim();
    await Promise.all([runtime.ensureNetwork(ingress), runtime.ensureNetwork(ingress)]);
    assert.equal((await engine("network", "ls", "-q", "-f", "driver=weft")).split("\n").length, 2);
    await engine("network", "prune", "-f");
    await runtime.ensureNetwork(ingress);
    assert.equal(await subnet(), "10.0.0.0/24");
    await runtime.ensureNetwork({ ...ingress, subnets: ["10.9.0.0/16"] });
    assert.equal(await subnet(), "10.9.0.0/16");
    await runtime.removeNetwork("ingress");
    await runtime.removeNetwork("ingress");
    assert.equal(await engine("network", "ls", "-q", "-f", "driver=weft"), "");
  });

  it("runs tasks with the addresses that they were given", async (t) => {
    agent.onMesh(makeMesh(1, [8080]));
    const began = performance.now();
    assign(task("t1"), task("t2"), task("t3"));
    for (const id of ["t1", "t2", "t3"]) await reached(id, "running");
    t.diagnostic(`three tasks ran after ${Math.round(performance.now() - began)} ms`);
    const format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    assert.equal((await engine("inspect", "-f", format, "web.1.t2")).trim(), addressOf("t2"));
    assert.equal((await keeper.links()).length, 3);
    assert.equal(datapath.last?.localLinks.length, 3);
    assert.ok(datapath.last?.heldPorts.has("tcp/8080"));
    await reached("t1", "running");
  });

  it("adopts them after a restart of the daemon", async () => {
    const startedAt = () => engine("inspect", "-f", "{{.State.StartedAt}}", "web.1.t1", "web.1.t2");
    const before = await startedAt();
    await agent.stop();
    await startAgent();
    await until(() => agent.appliedRevision === 1, { what: "the mesh as last told" });
    assign(task("t1"), task("t2"));
    await until(async () => (await keeper.links()).length === 2, { what: "t3 to go" });
    assert.deepEqual(reporter.statesOf("t1"), ["running"]);
    assert.equal(await startedAt(), before);
    await until(async () => (await engine("ps", "-aq")).trim().split("\n").length === 2, {
      what: "t3's container to be removed",
    });
  });

  it("fails a task whose host port some process has, and starts it when that is free", async () => {
    const ports: PortConfig[] = [
      { protocol: "tcp", targetPort: 80, publishedPort: 9090, publishMode: "host" },
    ];
    const published = {
      endpoint: { spec: { mode: "vip", ports }, ports, virtualIPs: [] },
    } as const;
    const squatter = await lab.host(1).spawn(["busybox", "nc", "-l", "-p", "9090"], { name: "nc" });
    await until(() => isListening(9090), { what: "the port to be taken" });
    assign(task("t1"), task("t2"), { ...task("t4"), ...published });
    await reached("t4", "failed");
    assert.ok(reporter.said.includes("t4 failed: port 9090/tcp: address already in use"));
    await squatter.end("SIGKILL");
    assign(task("t1"), task("t2"), { ...task("t5"), ...published });
    await reached("t5", "running");
    assert.equal(datapath.last?.hostPorts[0]?.publishedPort, 9090);
    assert.ok(await isListening(9090));
  });

  it("tells the end of a container that somebody killed", async () => {
    await engine("kill", "web.1.t2");
    await reached("t2", "failed");
    assert.ok(reporter.said.includes("t2 failed: task: non-zero exit (137)"));
  });

  it("tells that an Engine's restart ended its containers, and runs the next ones on it", async () => {
    await lab.host(1).restartEngine();
    await until(() => reporter.statesOf("t1").some((state) => state !== "running"), {
      what: "t1 to have ended",
      timeoutMs: 30_000,
    });
    assign(task("t6"));
    await reached("t6", "running");
  });

  it("leaves nothing behind when the node leaves the cluster", async () => {
    await agent.clear();
    assert.equal(await engine("ps", "-aq"), "");
    assert.equal(await engine("network", "ls", "-q", "-f", "driver=weft"), "");
    assert.deepEqual(await keeper.links(), []);
  });

  async function isListening(port: number): Promise<boolean> {
    const { stdout } = await lab.host(1).exec(["ss", "-Hltn", `sport = :${port}`]);
    return stdout.trim() !== "";
  }
});

function task(id: string): Task {
  const containerSpec = { image: "busybox", args: ["sh", "-c", STOPS_AT_ONCE] };
  return makeTask(id, { spec: { containerSpec, forceUpdate: 0 } });
}
