/** `weft doctor` on real hosts: silent on what is well, and each fault by its name. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { Finding } from "../../src/doctor/finding.ts";
import type { Host } from "../../src/lab/host.ts";
import { Lab } from "../../src/lab/lab.ts";
import { labUnavailable } from "../../src/lab/requirements.ts";
import { until } from "../../src/lab/until.ts";
import { Swarm, weft } from "./support/swarm.ts";

describe("weft doctor", { skip: (await labUnavailable()) ?? false }, () => {
  let swarm: Swarm;
  let manager: Host;
  let worker: Host;

  before(async () => {
    swarm = new Swarm(await Lab.create({ hosts: 2, images: ["nginx"] }));
    [manager, worker] = [swarm.host(1), swarm.host(2)];
  });
  after(async () => await swarm?.[Symbol.asyncDispose]());

  it("finds a fresh host ready, with no daemon yet", async () => {
    const { code, findings } = await doctor(worker);
    assert.deepEqual(ailments(findings), ["daemon"]);
    assert.equal(code, 0);
  });

  it("names an Engine in swarm mode and a taken port", async () => {
    await worker.engineOk(["swarm", "init", "--advertise-addr", worker.ip]);
    const { code, findings } = await doctor(worker);
    await worker.engineOk(["swarm", "leave", "--force"]);
    // The manager's port is taken at once; the tunnel's when the Engine has made its ingress network.
    assert.deepEqual([...new Set(ailments(findings))], ["Engine", "daemon", "ports"]);
    assert.equal(code, 1);
  });

  it("finds members well", async () => {
    await Promise.all(swarm.hosts.map((host) => host.startDaemon()));
    await swarm.form();
    const isWell = async () => {
      const { findings } = await doctor(worker);
      const peers = findings.filter(({ about }) => about.startsWith("peer "));
      return peers.length > 0 && ailments(findings).length === 0;
    };
    await until(isWell, { what: "a member without a task to be well" });
    await swarm.create("web", "--mode", "global", "--publish", "8080:80", "nginx");
    await swarm.answering(8080);
    for (const host of swarm.hosts) {
      const { code, findings } = await doctor(host);
      assert.deepEqual(ailments(findings), [], JSON.stringify(findings));
      assert.equal(code, 0);
      assert.ok(findings.some(({ about }) => about.startsWith("peer 192.168.99.")));
    }
    assert.ok((await doctor(worker)).findings.some(({ about }) => about.startsWith("manager ")));
    const { stdout } = await weft(manager, "doctor");
    assert.match(stdout, /^ok {4}kernel .*Linux/m);
    assert.match(stdout, /0 fail\n$/);
  });

  it("names an MTU black hole, and a closed tunnel, from the other side of it", async () => {
    const faults = [
      ["udp dport 4789 meta length > 1400 drop", /MTU black hole/],
      ["udp dport 4789 drop", /4789\/udp is closed/],
    ] as const;
    for (const [rule, said] of faults) {
      const table = `table inet fault { chain c { type filter hook prerouting priority -400; ${rule}; }; }`;
      await worker.execOk(["nft", "-f", "-"], { stdin: table });
      const { code, findings } = await doctor(manager);
      await worker.execOk(["nft", "delete", "table", "inet", "fault"]);
      // By then the managers may have found out themselves.
      const others = ailments(findings).filter((about) => about !== "node n2");
      assert.deepEqual(others, [`peer ${worker.ip}`]);
      assert.match(findings.find(({ level }) => level === "fail")?.found ?? "", said);
      assert.equal(code, 1);
    }
  });

  it("names a busy port, and a manager that is away", async () => {
    await worker.spawn(["python3", "-m", "http.server", "8099"]);
    const listens = async () =>
      (await worker.execOk(["ss", "-Hltn", "sport = :8099"])).trim() !== "";
    await until(listens, { what: "a process on port 8099" });
    await swarm.create("taken", "--publish", "8099:80", "nginx");
    const busy = await doctor(worker);
    assert.match(JSON.stringify(busy.findings), /published port 8099\/tcp is not answered/);
    assert.equal(busy.code, 0);
    await manager.stopDaemon();
    const away = await doctor(worker);
    await manager.startDaemon();
    assert.ok(ailments(away.findings).includes(`manager ${manager.ip}:2377`));
    assert.equal(away.code, 1);
  });

  it("refuses what it does not know", async () => {
    const { code, stderr } = await weft(manager, "doctor", "--format", "yaml");
    assert.equal(code, 2);
    assert.match(stderr, /format must be table or json/);
  });
});

async function doctor(host: Host): Promise<{ code: number; findings: Finding[] }> {
  const { code, stdout, stderr } = await weft(host, "doctor", "--format", "json");
  assert.equal(stderr, "");
  return { code, findings: JSON.parse(stdout) as Finding[] };
}

function ailments(findings: readonly Finding[]): string[] {
  return findings.filter(({ level }) => level !== "ok").map(({ about }) => about);
}
