/** What somebody breaks on a host that is a member: it is mended, or said in plain words. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { CUT_OFF } from "../../src/agent/task-step.ts";
import type { Host } from "../../src/lab/host.ts";
import { Lab } from "../../src/lab/lab.ts";
import { labUnavailable } from "../../src/lab/requirements.ts";
import { until } from "../../src/lab/until.ts";
import { probe } from "./support/probing.ts";
import { Swarm, weft } from "./support/swarm.ts";
import { difference, everythingOf, type Traces } from "./support/traces.ts";

const PORT = 8080;

describe("a member that somebody damages", { skip: (await labUnavailable()) ?? false }, () => {
  let swarm: Swarm;
  let worker: Host;
  /** The worker before Weft came. */
  let clean: Traces;

  before(async () => {
    swarm = new Swarm(await Lab.create({ hosts: 2, images: ["nginx"] }));
    worker = swarm.host(2);
    // What the Engine sets up at its first container is not Weft's.
    await worker.engineOk(["run", "--rm", "nginx", "nginx", "-v"]);
    clean = await everythingOf(worker);
    await Promise.all(swarm.hosts.map((host) => host.startDaemon()));
    await swarm.form();
    const spread = ["--replicas", "2", "--replicas-max-per-node", "1"];
    await swarm.create("web", ...spread, "--publish", `${PORT}:80`, "nginx");
    await swarm.answering(PORT);
  });
  after(async () => await swarm?.[Symbol.asyncDispose]());

  it("mends a flush of all rules before a client notices more than a delay", async () => {
    await worker.execOk(["nft", "flush", "ruleset"]);
    await until(async () => (await probeOf(worker)) === "answered", {
      what: "an answer after the flush",
      timeoutMs: 15_000,
    });
    // The Engine's own rules are the Engine's to put back; Weft adds its own to them again.
    await worker.restartEngine();
    await swarm.converged("web");
    await swarm.answering(PORT);
    await until(() => isAccepted(worker), { what: "Weft's rules in the Engine's chain" });
  });

  it("replaces a task whose link was deleted, and says why", async () => {
    const [before] = (await swarm.running("web")).filter(({ host }) => host === worker);
    assert.ok(before);
    const links = await worker.execOk(["sh", "-c", "ls /proc/sys/net/ipv4/conf | grep ^wv"]);
    const [link = ""] = links.trim().split("\n");
    await worker.execOk(["ip", "link", "del", link]);
    const failed = async () => {
      const task = (await swarm.tasks("web")).find(({ ID }) => ID === before.id);
      return task?.Status.State === "failed" && task;
    };
    const task = await until(failed, { what: "the task to have failed" });
    assert.equal(task.Status.Err, CUT_OFF);
    const replaced = async () =>
      (await swarm.running("web")).some(({ host, id }) => host === worker && id !== before.id);
    await until(replaced, { what: "another task" });
    await swarm.converged("web");
    await swarm.answering(PORT);
  });

  it("has a keeper again that holds the ports, when the keeper is killed", async () => {
    const before = await keeperPid(worker);
    await worker.execOk(["kill", "-9", `${before}`]);
    const isBack = async () => {
      const now = await keeperPid(worker).catch(() => before);
      return now !== before && (await holds(worker));
    };
    await until(isBack, { what: "a keeper that holds the port" });
    await swarm.answering(PORT);
  });

  it("holds its ports again when somebody takes them off the keeper", async () => {
    const nothing = ["-X", "PUT", "-d", '{"ports":[]}', "http://keeper/ports"];
    await worker.execOk(["curl", "-s", "--unix-socket", "/run/weft/keeper.sock", ...nothing]);
    await until(() => holds(worker), { what: "the port to be held" });
    await swarm.answering(PORT);
  });

  it("leaves forwarding off until the Engine is up, which then guards what is forwarded", async () => {
    const forwarding = async () =>
      (await worker.execOk(["sysctl", "-n", "net.ipv4.ip_forward"])).trim();
    await worker.crash();
    // Its API passes on what the Engine answers, and so is up when that is.
    const daemon = worker.restart({ engine: false, daemon: true });
    const hasRules = async () =>
      worker.isUp && (await worker.execOk(["nft", "list", "tables"])).includes("inet weft");
    await until(hasRules, { what: "the mesh's rules before the Engine is up" });
    assert.equal(await forwarding(), "0");
    await Promise.all([worker.startEngine(), daemon]);
    const policy = await worker.execOk(["iptables", "-S", "FORWARD"]);
    assert.match(policy, /^-P FORWARD DROP/);
    await until(async () => (await forwarding()) === "1", { what: "forwarding to be on" });
    await swarm.converged("web");
    await swarm.answering(PORT);
  });

  it("is as before Weft came when it is reset, with half of its kernel state gone", async () => {
    await until(() => isAccepted(worker), { what: "Weft's rules in the Engine's chain" });
    await worker.stopDaemon();
    for (const damage of [
      "nft delete table inet weft",
      "ip rule del priority 1000",
      "ip route flush proto 147",
      "ip link del weft0",
      "iptables -D DOCKER-USER -i weft0 -j ACCEPT",
    ]) {
      // After a boot not all of it may be there yet: the less is left, the better for this.
      await worker.exec(damage.split(" "));
    }
    assert.doesNotMatch(await worker.execOk(["nft", "list", "tables"]), /inet weft$/m);
    const { code, stderr } = await weft(worker, "reset", "--force");
    assert.equal(code, 0, stderr);
    // It was switched off and on meanwhile, which gives the Engine's bridge and the plug other numbers.
    const left = Object.values(difference(clean, await everythingOf(worker))).flat();
    assert.deepEqual(
      left.filter((line) => !/\bdocker0\b|\beth0@/.test(line)),
      [],
    );
  });

  async function probeOf(host: Host): Promise<string> {
    const [result] = await probe(swarm.client(), [{ kind: "http", address: host.ip, port: PORT }]);
    return result?.error ?? "answered";
  }
});

async function isAccepted(host: Host): Promise<boolean> {
  return (await host.execOk(["iptables", "-S", "DOCKER-USER"])).split("-i weft0").length === 2;
}

async function keeperPid(host: Host): Promise<number> {
  const listed = await host.execOk(["pgrep", "-f", "main.ts keeper|main.js keeper"]);
  return Number(listed.trim().split("\n")[0]);
}

async function holds(host: Host): Promise<boolean> {
  return (await host.execOk(["ss", "-Hltn", `sport = :${PORT}`])).trim() !== "";
}
