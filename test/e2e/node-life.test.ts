/** A node's beginnings and ends when something is in their way: what is refused leaves nothing, what fails ends. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Host } from "../../src/lab/host.ts";
import { Lab } from "../../src/lab/lab.ts";
import { labUnavailable } from "../../src/lab/requirements.ts";
import { until } from "../../src/lab/until.ts";
import { weft } from "./support/swarm.ts";

const skip = (await labUnavailable()) ?? false;
const MANAGER_PORT = 2377;

test("ports that are taken, a keeper that was killed, an Engine that was stopped", {
  skip,
}, async (t) => {
  await using lab = await Lab.create({ hosts: 1, clients: 0, images: ["busybox"] });
  const host = lab.host(1);
  const state = (name: string) => existsSync(host.path(join("/var/lib/weft", name)));
  await host.startDaemon();

  await t.test("an init whose port is taken is refused and leaves nothing", async () => {
    const other = await listener(host);
    const refused = await host.docker(["swarm", "init"]);
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, /cannot listen on 0\.0\.0\.0:2377: .*EADDRINUSE/);
    assert.equal(await swarmState(host), "inactive");
    assert.ok(!state("node.json") && !state("store"));
    await other.end("SIGKILL");
  });

  await t.test("a manager that listens on one address is ready", async () => {
    await host.dockerOk(["swarm", "init", "--listen-addr", `${host.ip}:${MANAGER_PORT}`]);
    await until(async () => /Ready/.test(await host.dockerOk(["node", "ls"])), {
      what: "the manager to be ready",
    });
  });

  await t.test("--force-new-cluster keeps what the cluster has, at another address", async () => {
    await host.dockerOk(["config", "create", "kept", "/etc/hostname"]);
    const nodeID = (await host.dockerOk(["node", "ls", "-q"])).trim();
    const again = ["swarm", "init", "--force-new-cluster", "--listen-addr", "0.0.0.0"];
    const text = await host.dockerOk([...again, "--advertise-addr", host.ip]);
    assert.match(text, new RegExp(`current node \\(${nodeID}\\) is now a manager`));
    await until(async () => /Ready/.test(await host.dockerOk(["node", "ls"])), {
      what: "the manager to be ready again",
    });
    assert.match(await host.dockerOk(["config", "ls"]), /kept/);
    const format = "{{.ManagerStatus.Addr}}";
    const address = await host.dockerOk(["node", "inspect", "--format", format, "self"]);
    assert.equal(address.trim(), `${host.ip}:${MANAGER_PORT}`);
    await host.dockerOk(["config", "rm", "kept"]);
  });

  await t.test("a daemon that cannot go on as a manager ends, and says why", async () => {
    await host.stopDaemon();
    const other = await listener(host);
    const failed = await weft(host, "daemon");
    assert.equal(failed.code, 1);
    assert.match(failed.stderr, /weft daemon: cannot listen on/);
    await other.end("SIGKILL");
    const deaf = await weft(host, "daemon", "--host", "tcp://127.0.0.1:2376");
    assert.equal(deaf.code, 2);
    assert.match(deaf.stderr, /weft daemon: tcp:\/\/127\.0\.0\.1:2376 needs TLS/);
    await host.startDaemon();
    assert.equal(await swarmState(host), "active");
  });

  await t.test("a manager leaves though its keeper was killed", async () => {
    await killKeeper(host);
    await host.dockerOk(["swarm", "leave", "--force"]);
    assert.equal(await swarmState(host), "inactive");
    assert.ok(!state("node.json") && !state("store"));
  });

  await t.test(
    "a reset with a killed keeper succeeds; with a stopped Engine it says what may be left",
    async () => {
      await host.dockerOk(["swarm", "init"]);
      await host.stopDaemon();
      await killKeeper(host);
      await host.stopEngine();
      await host.execOk(["rm", "-f", "/run/docker.sock"]);
      const partial = await weft(host, "reset", "--force");
      assert.equal(partial.code, 1);
      assert.match(partial.stderr, /the Docker Engine does not run: start it/);
      await host.startEngine();
      const whole = await weft(host, "reset", "--force");
      assert.equal(whole.code, 0, whole.stderr);
      assert.ok(!state("node.json") && !state("store") && !state("keeper"));
    },
  );
});

/** Some process of the host that has the managers' port. */
async function listener(host: Host) {
  const script = `require("net").createServer().listen(${MANAGER_PORT}, "0.0.0.0")`;
  const busy = await host.spawn([process.execPath, "-e", script]);
  const port = `sport = :${MANAGER_PORT}`;
  await until(async () => (await host.execOk(["ss", "-Hltn", port])) !== "", {
    what: "a listener",
  });
  return busy;
}

async function killKeeper(host: Host): Promise<void> {
  const pid = (await host.execOk(["pgrep", "-f", "main.ts keeper|main.js keeper"])).trim();
  await host.execOk(["kill", "-KILL", pid]);
}

async function swarmState(host: Host): Promise<string> {
  return (await host.dockerOk(["info", "--format", "{{.Swarm.LocalNodeState}}"])).trim();
}
