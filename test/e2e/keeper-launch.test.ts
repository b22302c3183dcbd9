/** The keeper's life beside the daemon's: started once, left alone, replaced without a gap. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Host } from "../../src/lab/host.ts";
import { Lab } from "../../src/lab/lab.ts";
import { startLoad } from "../../src/lab/load.ts";
import type { RunResult, Service } from "../../src/lab/process.ts";
import { labUnavailable } from "../../src/lab/requirements.ts";
import { until } from "../../src/lab/until.ts";
import { KeeperHost } from "./keeper-host.ts";

const skip = (await labUnavailable()) ?? false;

const LAUNCHER = [
  process.execPath,
  "--disable-warning=ExperimentalWarning",
  new URL("./keeper-launcher.ts", import.meta.url).pathname,
];

test("the keeper outlives who started it, and is found by the next one", { skip }, async () => {
  await using lab = await Lab.create({ hosts: 1, clients: 0, engine: false });
  const host = lab.host(1);
  const { client } = new KeeperHost(host);
  const daemon = await host.spawn([...LAUNCHER, "v1", "/var/lib/weft", "--stay"]);
  const pid = await keeperOf(daemon);
  await client.holdPorts([{ protocol: "tcp", port: 8080 }]);
  await daemon.end("SIGKILL");
  const { ports } = await client.status();
  assert.deepEqual(ports, [{ protocol: "tcp", port: 8080, state: "held" }]);
  assert.equal(pidIn(await host.exec([...LAUNCHER, "v1"])), pid);

  const otherDirectory = await host.exec([...LAUNCHER, "v1", "/var/lib/other"]);
  assert.notEqual(otherDirectory.code, 0);
  assert.match(
    otherDirectory.stderr,
    /serves another daemon, with data directory \/var\/lib\/weft/,
  );
  const otherNamespace = await host.exec(["unshare", "--net", ...LAUNCHER, "v1"]);
  assert.notEqual(otherNamespace.code, 0);
  assert.match(otherNamespace.stderr, /serves another network namespace/);

  // A dead keeper's sockets are replaced.
  await host.execOk(["kill", "-9", String(pid)]);
  await until(async () => !(await isAlive(host, pid)), { what: "the keeper's death" });
  assert.notEqual(pidIn(await host.exec([...LAUNCHER, "v1"])), pid);
  await client.stop();
  assert.equal(await host.execOk(["ls", "/run/weft", "/run/docker/plugins"]), EMPTY_DIRECTORIES);
  assert.equal(await host.execOk(["ss", "-Hltn"]), "");
});

test("a keeper of another version takes over without a gap", { skip }, async () => {
  await using lab = await Lab.create({ hosts: 1, clients: 0, images: ["nginx", "busybox"] });
  const host = lab.host(1);
  const keeper = new KeeperHost(host);
  const old = pidIn(await host.exec([...LAUNCHER, "v1"]));
  await keeper.createNetwork("ingress", "--subnet", "10.255.0.0/16");
  const run = ["run", "-d", "--network", "ingress"];
  await host.engineOk([...run, "--name", "web", "--ip", "10.255.0.5", "nginx"]);
  const ports = [8080, 8081, 8082].flatMap(
    (port) =>
      [
        { protocol: "tcp", port },
        { protocol: "udp", port },
      ] as const,
  );
  await keeper.client.holdPorts(ports);
  await host.execOk(["nft", "-f", "-"], { stdin: RULES });

  const thief = await host.spawn([process.execPath, "-e", THIEF], { name: "thief" });
  await using kept = await startLoad(host, { urls: ["http://[::1]:8080/"], keepAlive: true });
  await using fresh = await startLoad(host, { urls: ["http://[::1]:8081/"], keepAlive: false });
  for (const load of [kept, fresh]) await load.more(50);

  // The Engine keeps asking meanwhile: containers come and go as ever.
  const containers = ["10.255.1.1", "10.255.1.2", "10.255.1.3"].map((address) =>
    host.engineOk(["run", "--rm", "--network", "ingress", "--ip", address, "busybox", "true"]),
  );
  const successor = pidIn(await host.exec([...LAUNCHER, "v2"]));
  await Promise.all(containers);
  assert.notEqual(successor, old);
  const status = await keeper.client.status();
  assert.partialDeepStrictEqual(status, { version: "v2", pid: successor });
  assert.deepEqual(
    status.ports,
    ports.map((port) => ({ ...port, state: "held" })),
  );
  assert.equal(status.endpoints.length, 1);

  for (const load of [kept, fresh]) {
    await load.more(200);
    assert.partialDeepStrictEqual(await load.stop(), { failed: 0 });
  }
  assert.equal(thief.output(), "");
  await thief.end("SIGKILL");
  await until(async () => !(await isAlive(host, old)), { what: "the old keeper's end" });

  const start = performance.now();
  await host.engineOk([
    "run",
    "--rm",
    "--network",
    "ingress",
    "--ip",
    "10.255.0.6",
    "busybox",
    "true",
  ]);
  await host.engineOk(["rm", "-f", "web"]);
  // Each call to a plugin that does not answer takes 15 s.
  assert.ok(performance.now() - start < 12_000);
  assert.deepEqual(await keeper.links(), []);
});

test("a successor that cannot start changes nothing", { skip }, async () => {
  await using lab = await Lab.create({ hosts: 1, clients: 0, engine: false });
  const host = lab.host(1);
  const keeper = new KeeperHost(host);
  await keeper.start();
  const before = await keeper.client.holdPorts([{ protocol: "tcp", port: 8080 }]);
  await assert.rejects(keeper.client.handOver(["/bin/false"]), /did not take over: it ended/);
  await assert.rejects(keeper.client.handOver(["/nowhere"]), /did not take over: .*ENOENT/);
  assert.deepEqual((await keeper.client.status()).ports, before);
  assert.equal((await host.exec(keeper.argv)).code, 1, "its lock is still held");
  assert.deepEqual(await keeper.client.holdPorts([]), []);
});

const EMPTY_DIRECTORIES = "/run/docker/plugins:\n\n/run/weft:\n";

/** Says so when it ever gets a port that is held. */
const THIEF = `
const net = require("node:net");
const attempt = (port, host) => {
  const server = net.createServer();
  const again = () => setTimeout(attempt, 1, port, host);
  server.on("error", again);
  server.listen(port, host, () => { console.log("stolen", port, host); server.close(again); });
};
for (const port of [8080, 8082]) for (const host of ["::", "127.0.0.1", "0.0.0.0"]) attempt(port, host);
`;

const RULES = `table ip keepertest {
  chain output {
    type nat hook output priority -100;
    ip daddr 127.0.0.1 tcp dport { 8080, 8081 } dnat to 10.255.0.5:80
  }
  chain postrouting {
    type nat hook postrouting priority 100;
    ip saddr 127.0.0.0/8 oifname "wv*" masquerade
  }
}
`;

function pidIn({ stdout, stderr }: Pick<RunResult, "stdout" | "stderr">): number {
  const pid = /^keeper (\d+)$/m.exec(stdout)?.[1];
  assert.ok(pid !== undefined, stderr);
  return Number(pid);
}

async function keeperOf(daemon: Service): Promise<number> {
  await until(() => /^keeper \d+$/m.test(daemon.output()), { what: "the keeper's start" });
  return pidIn({ stdout: daemon.output(), stderr: daemon.output() });
}

async function isAlive(host: Host, pid: number): Promise<boolean> {
  return (await host.exec(["kill", "-0", String(pid)])).code === 0;
}
