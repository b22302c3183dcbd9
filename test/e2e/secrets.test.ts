/** Secrets and configs on real hosts: read by tasks of a worker, and never left behind. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { labUnavailable } from "../../src/lab/requirements.ts";
import { until } from "../../src/lab/until.ts";
import { type RunningTask, Swarm, weft } from "./support/swarm.ts";

const skip = (await labUnavailable()) ?? false;
const DIRECTORY = "/run/weft/secrets";
const HUSH = "hush-hush-hush";

describe("secrets and configs", { skip }, () => {
  let swarm: Swarm;
  let reader: RunningTask;

  before(async () => {
    swarm = await Swarm.create({ hosts: 2, clients: 0, images: ["busybox"] });
  });
  after(() => swarm?.[Symbol.asyncDispose]());

  const inTask = (...command: string[]) =>
    reader.host.engineOk(["exec", reader.containerID, ...command]);
  const worker = () => swarm.host(2);
  /** Files below a directory of the worker that have the secret's text in them. */
  const holding = async (directory: string) => {
    const { stdout } = await worker().exec(["grep", "-rl", HUSH, directory]);
    return stdout.trim();
  };

  it("are read where they were asked for, by whom and how", async () => {
    await swarm.manager.dockerOk(["secret", "create", "key", "-"], { stdin: HUSH });
    await swarm.manager.dockerOk(["config", "create", "script", "-"], {
      stdin: "#!/bin/sh\nexec sleep 10000\n",
    });
    const spec = ["--no-resolve-image", "--constraint", "node.role==worker", "--read-only"];
    const references = [
      "--secret",
      "source=key,target=other,uid=33,gid=44,mode=0400",
      "--secret",
      "key",
      "--config",
      "source=script,target=/run.sh,mode=0555",
    ];
    const tasks = await swarm.create("reader", ...spec, ...references, "busybox", "/run.sh");
    reader = tasks[0] as RunningTask;
    assert.equal(reader.host, worker());
    assert.equal(await inTask("cat", "/run/secrets/key"), HUSH);
    const listed = await inTask("stat", "-c", "%a %u %g %n", "/run/secrets/other", "/run.sh");
    assert.equal(listed, "400 33 44 /run/secrets/other\n555 0 0 /run.sh\n");
    await assert.rejects(inTask("sh", "-c", "echo x > /run/secrets/key"), /Read-only/);
  });

  it("are in the worker's memory alone", async () => {
    const kind = await worker().execOk(["stat", "-f", "-c", "%T", DIRECTORY]);
    assert.equal(kind.trim(), "tmpfs");
    assert.notEqual(await holding(DIRECTORY), "");
    assert.equal(await holding("/var/lib/weft"), "");
    assert.doesNotMatch(worker().daemonLog(), new RegExp(HUSH));
  });

  it("stay with a task whose daemon starts again while no manager is there", async () => {
    await swarm.manager.killDaemon();
    await worker().restartDaemon("SIGKILL");
    assert.equal(await inTask("cat", "/run/secrets/key"), HUSH);
    await swarm.manager.startDaemon();
    await until(async () => (await swarm.readyNodes()) === 2, { what: "both nodes to be ready" });
    const [task] = await swarm.converged("reader");
    assert.equal(task?.containerID, reader.containerID);
    assert.equal(await inTask("cat", "/run/secrets/key"), HUSH);
  });

  it("go with their task, and with the node", async () => {
    assert.match(
      await swarm.refused("secret", "rm", "key"),
      /in use by the following service: reader$/,
    );
    await swarm.remove("reader");
    await until(async () => (await holding(DIRECTORY)) === "", { what: "the secrets to be gone" });
    await swarm.docker("secret", "rm", "key");
    assert.match(await swarm.refused("secret", "inspect", "key"), /secret key not found/);
    await worker().stopDaemon();
    const reset = await weft(worker(), "reset", "--force");
    assert.equal(reset.code, 0, reset.stderr);
    assert.notEqual((await worker().exec(["test", "-e", DIRECTORY])).code, 0);
  });
});
