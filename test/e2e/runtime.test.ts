/** The runtime's contract on a real Docker Engine, and what only an Engine can show. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { systemClock } from "../../src/base/clock.ts";
import { UnavailableError } from "../../src/base/errors.ts";
import { Lab } from "../../src/lab/lab.ts";
import { labUnavailable } from "../../src/lab/requirements.ts";
import { type ContractProgram, runtimeContract } from "../../src/runtime/contract.ts";
import { DockerRuntime } from "../../src/runtime/docker/docker-runtime.ts";
import type { ContainerConfig } from "../../src/runtime/runtime.ts";

const SECOND = 1_000_000_000;
const SCRIPTS: Record<Exclude<ContractProgram, "missing">, string> = {
  forever: "trap 'exit 7' TERM; while :; do sleep 0.1; done",
  stubborn: "trap '' TERM; while :; do sleep 1; done",
  "exit-3": "exit 3",
  talk: "echo out; echo err >&2; trap 'exit 0' TERM; while :; do sleep 0.1; done",
  sick: "trap 'exit 0' TERM; while :; do sleep 0.1; done",
};
const SICK = { test: ["CMD", "false"], interval: SECOND / 10, timeout: SECOND, retries: 1 };

const skip = (await labUnavailable()) ?? false;

describe("the Docker Engine as runtime", { skip }, () => {
  let lab: Lab;
  let runtime: DockerRuntime;

  before(async () => {
    lab = await Lab.create({ hosts: 1, clients: 0, images: ["busybox"] });
    runtime = new DockerRuntime({ clock: systemClock }, { socketPath: lab.host(1).engineSocket });
  });
  after(async () => {
    runtime?.close();
    await lab?.[Symbol.asyncDispose]();
  });

  runtimeContract("docker", { image: "busybox", runtime: () => runtime, program });

  it("maps a whole config, which the Engine then shows", async () => {
    const containerID = await runtime.create({
      ...base("mapped"),
      hostname: "box",
      workingDir: "/tmp",
      user: "0",
      groups: ["12"],
      env: ["COLOUR=blue"],
      labels: { colour: "blue" },
      readOnly: true,
      init: false,
      stopSignal: "SIGINT",
      mounts: [
        { type: "volume", source: "data", target: "/data", volumeOptions: { noCopy: true } },
        { type: "tmpfs", target: "/scratch", tmpfsOptions: { sizeBytes: 65_536 } },
        { type: "bind", source: "/etc", target: "/host-etc", readOnly: true },
      ],
      healthcheck: { test: ["CMD", "true"], interval: SECOND, retries: 3 },
      extraHosts: ["other:10.9.8.7"],
      dns: { nameservers: ["9.9.9.9"], search: ["example.org"], options: ["ndots:2"] },
      capabilityAdd: ["CAP_NET_ADMIN"],
      capabilityDrop: ["CAP_MKNOD"],
      ulimits: [{ name: "nofile", soft: 100, hard: 200 }],
      limits: { nanoCPUs: SECOND / 2, memoryBytes: 32 * 1024 * 1024 },
      logDriver: { name: "json-file", options: { "max-size": "1m" } },
    });
    const [shown] = (await lab.host(1).engineJson(["inspect", containerID])) as Inspected[];
    assert.ok(shown);
    const { Config, HostConfig } = shown;
    assert.equal(Config["Hostname"], "box");
    assert.equal(Config["WorkingDir"], "/tmp");
    assert.equal(Config["StopSignal"], "SIGINT");
    assert.equal(Config["StopTimeout"], 2);
    assert.ok((Config["Env"] as string[]).includes("COLOUR=blue"));
    assert.deepEqual(Config["Labels"], { colour: "blue", "weft.task.id": "mapped" });
    assert.deepEqual(Config["Healthcheck"], {
      Test: ["CMD", "true"],
      Interval: SECOND,
      Retries: 3,
    });
    assert.equal(HostConfig["NanoCpus"], SECOND / 2);
    assert.equal(HostConfig["Memory"], 32 * 1024 * 1024);
    assert.equal(HostConfig["ReadonlyRootfs"], true);
    assert.deepEqual(HostConfig["ExtraHosts"], ["other:10.9.8.7"]);
    assert.deepEqual(HostConfig["DnsSearch"], ["example.org"]);
    assert.deepEqual(HostConfig["Ulimits"], [{ Name: "nofile", Soft: 100, Hard: 200 }]);
    assert.deepEqual((HostConfig["RestartPolicy"] as { Name: string }).Name, "no");
    assert.equal((HostConfig["Mounts"] as unknown[]).length, 3);
    await runtime.start(containerID);
    await runtime.remove(containerID);
  });

  it("leaves a user's own network of that name alone, and says so", async () => {
    const host = lab.host(1);
    await host.engineOk(["network", "create", "ingress"]);
    const subnet = "10.0.0.0/24";
    await assert.rejects(
      runtime.ensureNetwork({ name: "ingress", subnets: [subnet] }),
      /^ConflictError: network ingress on this host's Docker Engine is not Weft's \(driver bridge\)/,
    );
    await runtime.removeNetwork("ingress");
    await host.engineOk(["network", "inspect", "ingress"]);
    await host.engineOk(["network", "rm", "ingress"]);
  });

  it("keeps the words of a refused start", async () => {
    const mounts = [{ type: "bind", source: "/no/such/dir", target: "/data" }] as const;
    await assert.rejects(
      runtime.create({ ...base("bind"), mounts }),
      /invalid mount config for type "bind": bind source path does not exist: \/no\/such\/dir/,
    );
  });

  it("reads what a terminal showed, line by line", async () => {
    const args = ["sh", "-c", "echo one; echo two >&2"];
    const containerID = await runtime.create({ ...base("tty"), args, tty: true });
    await runtime.start(containerID);
    const lines: string[] = [];
    const options = { stdout: true, stderr: true, follow: true, timestamps: true };
    for await (const { data } of runtime.logs(containerID, options, AbortSignal.timeout(20_000))) {
      lines.push(Buffer.from(data).toString());
    }
    assert.equal(lines.length, 2);
    for (const line of lines) assert.match(line, /^\d{4}-\S+Z (one|two)\r\n$/);
    await runtime.remove(containerID);
  });

  it("says that the Engine is away, and goes on when it is back", async () => {
    const host = lab.host(1);
    const containerID = await runtime.create({ ...base("outlived"), ...program("forever") });
    await runtime.start(containerID);
    const heard = runtime.events(AbortSignal.timeout(60_000))[Symbol.asyncIterator]();
    await heard.next();
    const interrupted = assert.rejects(drain(heard), UnavailableError);
    await host.stopEngine();
    await interrupted;
    await assert.rejects(runtime.list(), (error) => {
      assert.ok(error instanceof UnavailableError);
      assert.match(error.message, /^Cannot connect to the Docker daemon at unix:/);
      return true;
    });
    await host.startEngine();
    assert.equal((await runtime.inspect(containerID))?.phase, "exited");
    await runtime.remove(containerID);
  });
});

interface Inspected {
  readonly Config: Record<string, unknown>;
  readonly HostConfig: Record<string, unknown>;
}

function base(taskID: string): ContainerConfig {
  return {
    name: `web.1.${taskID}`,
    taskID,
    image: "busybox",
    labels: {},
    env: [],
    mounts: [],
    stopGraceMs: 1_500,
  };
}

function program(name: ContractProgram): Partial<ContainerConfig> {
  if (name === "missing") return { args: ["missing"] };
  const args = ["sh", "-c", SCRIPTS[name]];
  return name === "sick" ? { args, healthcheck: SICK } : { args };
}

async function drain(iterator: AsyncIterator<unknown>): Promise<void> {
  while ((await iterator.next()).done !== true);
}
