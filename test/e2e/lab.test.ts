/** The lab itself: what every other test in it rests on. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { dnsQuery } from "../../src/lab/dns-query.ts";
import { httpGet, tryGet, untilAnswered } from "../../src/lab/http-get.ts";
import { parseAnswer } from "../../src/lab/images.ts";
import { Lab } from "../../src/lab/lab.ts";
import { startLoad } from "../../src/lab/load.ts";
import { REGISTRY } from "../../src/lab/registry.ts";
import { labUnavailable } from "../../src/lab/requirements.ts";
import { until } from "../../src/lab/until.ts";
import { type LabMarks, marksOf, tracesOf } from "./lab-traces.ts";

const skip = (await labUnavailable()) ?? false;

test("three hosts have their own name, addresses and Engine", { skip }, async () => {
  await using lab = await Lab.create({ hosts: 3, clients: 1 });
  for (const [index, host] of lab.hosts.entries()) {
    assert.equal((await host.execOk(["hostname"])).trim(), `n${index + 1}`);
    assert.equal(host.ip, `192.168.99.${100 + index}`);
    const info = await host.engineJson(["info", "--format", "{{json .}}"]);
    assert.partialDeepStrictEqual(info, { Name: host.name, Driver: "overlay2" });
    assert.match(await host.execOk(["iptables", "-S", "FORWARD"]), /^-P FORWARD DROP$/m);
  }
  const [n1, n2] = [lab.host(1), lab.host(2)];
  for (const address of [n2.ip, n2.ipv6, n2.name]) await n1.execOk(ping(address));
  await lab.client().execOk(ping(n1.ip));
});

test("containers run from the lab's images and are reached over the LAN", { skip }, async () => {
  await using lab = await Lab.create({ hosts: 1, images: ["nginx", "busybox", "dns-cache"] });
  const [host, client] = [lab.host(1), lab.client()];
  const id = (await host.engineOk(["run", "-d", "-p", "8080:80", "nginx"])).trim();
  const url = `http://${host.ip}:8080/`;
  await untilAnswered(client, url);
  const answer = parseAnswer((await httpGet(client, url)).body);
  assert.equal(answer.task, id.slice(0, 12));
  assert.equal(answer.client, client.ip);
  assert.equal((await tryGet(client, `http://${host.ip}:8081/`)).failure, "refused");

  const dns = (
    await host.engineOk(["run", "-d", "-p", "53:53/udp", "-p", "53:53", "dns-cache"])
  ).trim();
  for (const protocol of ["udp", "tcp"] as const) {
    const init = { server: host.ip, protocol, name: "task.test", type: "TXT", times: 2 } as const;
    const answers = await dnsQuery(client, init);
    assert.deepEqual(
      answers.map(({ records }) => records),
      [[dns.slice(0, 12)], [dns.slice(0, 12)]],
    );
  }
  assert.ok((await host.engine(["logs", dns])).stderr.includes(client.ip));

  const sleeper = (await host.engineOk(["run", "-d", "busybox", "sleep", "1000"])).trim();
  const neighbour = await host.container(sleeper);
  assert.equal((await httpGet(neighbour, url)).status, 200);
});

test("a load counts what a restart of its server costs", { skip }, async () => {
  await using lab = await Lab.create({ hosts: 1, images: ["nginx"] });
  const [host, client] = [lab.host(1), lab.client()];
  await host.engineOk(["run", "-d", "--name", "web", "-p", "8080:80", "nginx"]);
  for (const keepAlive of [false, true]) {
    const url = `http://${host.ip}:8080/`;
    await untilAnswered(client, url);
    await using load = await startLoad(client, { urls: [url], keepAlive });
    await load.more(50);
    assert.equal(load.progress().failed, 0);
    await host.engineOk(["restart", "web"]);
    await until(() => load.progress().failed > 0, { what: "failed requests" });
    const { sent, failed, errors, answers } = await load.stop();
    const sum = (counts: Readonly<Record<string, number>>) =>
      Object.values(counts).reduce((total, count) => total + count, 0);
    assert.equal(sum(errors), failed);
    assert.equal(sum(answers), sent - failed);
  }
});

test("a crashed host is silent, and comes back with its data", { skip }, async () => {
  await using lab = await Lab.create({ hosts: 2, images: ["nginx"] });
  const [n1, n2, client] = [lab.host(1), lab.host(2), lab.client()];
  await n1.engineOk(["run", "-d", "--restart", "always", "-p", "8080:80", "nginx"]);
  const url = `http://${n1.ip}:8080/`;
  await untilAnswered(client, url);
  const others = [n2.pid, client.pid];
  await n1.crash();
  assert.equal(n1.isUp, false);
  assert.equal((await tryGet(client, url, { timeoutMs: 500 })).failure, "timeout");
  await n2.execOk(ping(client.ip));
  await n1.restart();
  await untilAnswered(client, url);
  assert.deepEqual([n2.pid, client.pid], others, "the other machines went on");
});

test("a killed Engine's containers go on; a restarted one has its images", { skip }, async () => {
  await using lab = await Lab.create({ hosts: 1, images: ["nginx"] });
  const [host, client] = [lab.host(1), lab.client()];
  const id = await host.engineOk(["run", "-d", "--restart", "always", "nginx"]);
  const format = ["inspect", "--format", "{{.NetworkSettings.IPAddress}}", id.trim()];
  const address = (await host.engineOk(format)).trim();
  await host.killEngine();
  assert.equal(host.engineRunning, false);
  await untilAnswered(host, `http://${address}/`);
  await host.startEngine();
  await host.restartEngine();
  assert.match(await host.engineOk(["images"]), /^nginx +latest/m);
  assert.equal((await tryGet(client, `http://${host.ip}:80/`)).failure, "refused");
});

test("faults of the LAN: a cut, loss in one direction, another address", { skip }, async () => {
  await using lab = await Lab.create({ hosts: 2, engine: false });
  const [n1, n2, client] = [lab.host(1), lab.host(2), lab.client()];
  const reaches = async (to: string) => (await client.exec(ping(to))).code === 0;
  await n1.cut();
  assert.equal(await reaches(n1.ip), false);
  assert.equal(await reaches(n2.ip), true);
  await n1.mend();
  await until(() => reaches(n1.ip), { what: "n1 after the cut" });

  await n1.loss(100, { direction: "to" });
  assert.equal(await reaches(n1.ip), false);
  const dropped = async () =>
    (await n1.execOk(["cat", "/sys/class/net/eth0/statistics/tx_packets"])).trim();
  const sentBefore = Number(await dropped());
  await n1.exec(ping(n2.ip));
  assert.ok(Number(await dropped()) > sentBefore, "it still sends");
  await n1.loss(0);
  assert.equal(await reaches(n1.ip), true);

  await n2.addAddress("192.168.99.150/24");
  assert.equal(await reaches("192.168.99.150"), true);
  await n2.removeAddress("192.168.99.150/24");
  assert.equal(await reaches("192.168.99.150"), false);
});

test("the daemon alone is killed: its keeper stays, and it comes back", { skip }, async () => {
  await using lab = await Lab.create({ hosts: 1 });
  const host = lab.host(1);
  await host.startDaemon();
  await host.dockerOk(["version"]);
  const keepers = () => host.execOk(["pgrep", "-f", "main.*keeper"]);
  const keeper = await keepers();
  assert.equal(await host.killDaemon(), 128 + 9);
  assert.equal(await keepers(), keeper);
  await assert.rejects(host.dockerOk(["version"]), /Cannot connect/);
  await host.startDaemon();
  await host.dockerOk(["version"]);
  assert.equal(await host.stopDaemon(), 0);
});

test("images are pulled from the LAN's registry, with credentials where it asks", {
  skip,
}, async () => {
  const credentials = { username: "jane", password: "secret" };
  const registry = { images: ["busybox"], credentials } as const;
  await using lab = await Lab.create({ hosts: 1, clients: 0, registry });
  const host = lab.host(1);
  const refused = await host.engine(["pull", `${REGISTRY}/busybox`]);
  assert.match(refused.stderr, /no basic auth credentials/);
  await host.engineOk(["login", "-u", "jane", "--password-stdin", REGISTRY], {
    stdin: "secret",
    env: { DOCKER_CONFIG: "/etc/docker" },
  });
  const pull = ["--config", "/etc/docker", "pull"];
  await host.engineOk([...pull, `${REGISTRY}/busybox`]);
  const said = await host.engineOk(["run", "--rm", `${REGISTRY}/busybox`, "echo", "pulled"]);
  assert.equal(said.trim(), "pulled");
  assert.match((await host.engine([...pull, `${REGISTRY}/busybox:1`])).stderr, /manifest unknown/);
  assert.match(lab.registry.log(), /GET \/v2\/busybox\/manifests\/.* 200/);
});

test("two labs side by side do not meet, and neither leaves anything behind", {
  skip,
}, async () => {
  const marks: LabMarks[] = [];
  {
    const init = { hosts: 1, images: ["nginx"] } as const;
    const [first, second] = await Promise.all([Lab.create(init), Lab.create(init)]);
    await using one = first;
    await using two = second;
    for (const lab of [one, two]) {
      marks.push(marksOf(lab));
      await lab
        .host(1)
        .engineOk(["run", "-d", "--name", "web", "--hostname", lab.id, "-p", "80:80", "nginx"]);
    }
    for (const lab of [one, two]) {
      const url = `http://${lab.host(1).ip}/`;
      await untilAnswered(lab.client(), url);
      const { body } = await httpGet(lab.client(), url);
      assert.equal(parseAnswer(body).task, lab.id);
    }
    for (const mark of marks) assert.notDeepEqual(tracesOf(mark), []);
  }
  assert.deepEqual(marks.flatMap(tracesOf), []);
});

for (const signal of ["SIGKILL", "SIGTERM"] as const) {
  test(`a lab whose process got ${signal} is gone after the next sweep`, { skip }, async () => {
    const file = new URL("./lab-holder.ts", import.meta.url).pathname;
    const holder = spawn(process.execPath, [file], { stdio: ["ignore", "pipe", "inherit"] });
    const lines = createInterface(holder.stdout);
    const [line] = (await Promise.race([once(lines, "line"), once(lines, "close")])) as [string?];
    assert.ok(line !== undefined, "the process that makes the lab has printed its marks");
    const marks = JSON.parse(line) as LabMarks;
    assert.ok(marks.processes.length > 5, "Engine and container among them");
    assert.notDeepEqual(tracesOf(marks), []);
    holder.kill(signal);
    await once(holder, "exit");
    if (signal === "SIGTERM") assert.deepEqual(tracesOf(marks), []);
    else assert.ok(Lab.sweep().includes(marks.id));
    assert.deepEqual(tracesOf(marks), []);
  });
}

function ping(address: string): string[] {
  return ["busybox", "ping", "-c", "1", "-W", "1", address];
}
