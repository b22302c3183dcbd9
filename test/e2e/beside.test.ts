/** Hosts with firewalls of their own: the mesh gets through, theirs stays as it was, and a reset leaves nothing. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { describe, it } from "node:test";
import type { Host } from "../../src/lab/host.ts";
import { Lab } from "../../src/lab/lab.ts";
import { labUnavailable } from "../../src/lab/requirements.ts";
import { until } from "../../src/lab/until.ts";
import { unharmed } from "./support/load.ts";
import { type Probe, probe } from "./support/probing.ts";
import { Swarm, weft } from "./support/swarm.ts";
import { assertSameTraces, difference, everythingOf, type Traces } from "./support/traces.ts";

const PORT = 8080;
const noLab = await labUnavailable();

function unless(tool: string, packageName: string): string | false {
  if (noLab !== undefined) return noLab;
  return existsSync(tool) ? false : `needs the package ${packageName}`;
}

describe("beside ufw", { skip: unless("/usr/sbin/ufw", "ufw") }, () => {
  it("enabled before and after, reloaded while traffic flows", async () => {
    const lab = await Lab.create({ hosts: 2, images: ["nginx"], engine: true });
    await using swarm = new Swarm(lab);
    const [first, second] = [lab.host(1), lab.host(2)];
    // Once on and off, as it leaves chains when it is disabled, and writes some otherwise the second time.
    await Promise.all(
      lab.hosts.map(async (host) => {
        const lan = ["from", "192.168.99.0/24", "to", "any", "port"];
        await host.execOk(["ufw", "allow", ...lan, "2377", "proto", "tcp"]);
        await host.execOk(["ufw", "allow", ...lan, "4789", "proto", "udp"]);
        for (const change of ["enable", "reload", "disable"]) await ufw(host, change);
      }),
    );
    await ufw(first, "enable");
    const before = await Promise.all([traced(first), traced(second)]);
    await runWeb(swarm);
    await ufw(second, "enable");
    await assertServed(swarm);
    for (const host of lab.hosts) {
      await duringLoad(swarm, async () => {
        for (const change of ["reload", "disable", "enable"]) await ufw(host, change);
      });
    }
    await shutOutByUfw(swarm, first);
    await ufw(second, "disable");
    await assertReset(swarm, before);
  });
});

describe("beside firewalld", { skip: unless("/usr/sbin/firewalld", "firewalld") }, () => {
  it("started before and after, reloaded while traffic flows", async () => {
    const lab = await Lab.create({ hosts: 2, images: ["nginx"] });
    await using swarm = new Swarm(lab);
    const [first, second] = [lab.host(1), lab.host(2)];
    await startFirewalld(first);
    const before = await Promise.all(lab.hosts.map(traced));
    await runWeb(swarm);
    await startFirewalld(second);
    await assertServed(swarm);
    for (const host of lab.hosts) {
      await until(async () => (await trusted(host, "--permanent")) === "wb+ weft0 wv+", {
        what: `weft's links in firewalld's permanent zone on ${host.name}`,
      });
      // The Engine hears of reloads by D-Bus, had it been there at its start; here it is told by a restart.
      await duringLoad(swarm, () => host.execOk(["firewall-cmd", "--reload"]), [host.ip]);
      await host.restartEngine();
      await swarm.converged("web");
      await assertServed(swarm);
    }
    await shutOutByFirewalld(swarm, first);
    for (const host of lab.hosts) {
      await reset(host);
      assert.equal(await trusted(host), "");
      assert.equal(await trusted(host, "--permanent"), "");
      const zone = await host.exec(["test", "-e", "/etc/firewalld/zones/trusted.xml"]);
      assert.equal(zone.code, 1, "the zone's file is gone");
    }
    // It keeps a zone's empty chains until it is reloaded, and for good a backup of the zone's file.
    await first.execOk(["firewall-cmd", "--reload"]);
    await first.restartEngine();
    const { files = [], ...left } = difference(before[0] ?? {}, await traced(first));
    assert.deepEqual(left, {}, `traces on ${first.name}`);
    const more = files.filter((line) => !line.endsWith(".xml.old"));
    assert.deepEqual(more, [], `files on ${first.name}`);
    // Firewalld has come to this one meanwhile, with rules and files of its own.
    const others = Object.keys(difference(before[1] ?? {}, await traced(second)));
    const unlike = others.filter((what) => what !== "rules" && what !== "files");
    assert.deepEqual(unlike, [], `traces on ${second.name}`);
  });
});

describe("beside legacy iptables, and a user's own rules", { skip: noLab ?? false }, () => {
  it("with the Engine restarted, and rp_filter set for all links", async () => {
    const lab = await Lab.create({ hosts: 2, engine: false });
    await using swarm = new Swarm(lab);
    for (const host of lab.hosts) {
      const alternative = "/etc/alternatives/iptables";
      await host.execOk(["ln", "-sf", "/usr/sbin/iptables-legacy", alternative]);
      await host.startEngineWith(["nginx"]);
      await host.execOk(["nft", "-f", "-"], { stdin: USERS_TABLE });
      await host.engineOk(["run", "--rm", "nginx", "nginx", "-v"]);
    }
    const before = await Promise.all(lab.hosts.map(traced));
    await runWeb(swarm);
    await assertServed(swarm);
    for (const filter of ["1", "2", "0"]) {
      for (const host of lab.hosts) {
        await host.execOk(["sysctl", "-qw", `net.ipv4.conf.all.rp_filter=${filter}`]);
      }
      await assertServed(swarm);
    }
    for (const host of lab.hosts) {
      await host.restartEngine();
      await swarm.converged("web");
      const chain = await host.execOk(["iptables-legacy", "-S", "DOCKER-USER"]);
      assert.equal(acceptedLinks(chain), 5);
    }
    // Sooner each time than the regular audit would come by three times.
    for (let flush = 0; flush < 3; flush += 1) {
      await swarm.manager.execOk(["iptables-legacy", "-F", "DOCKER-USER"]);
      const isMended = async () => {
        const chain = await swarm.manager.execOk(["iptables-legacy", "-S", "DOCKER-USER"]);
        return acceptedLinks(chain) === 5;
      };
      await until(isMended, { what: "the mesh's rules in the chain", timeoutMs: 9_000 });
    }
    // Which the flush took as well, and only the Engine puts there.
    await swarm.manager.execOk(["iptables-legacy", "-A", "DOCKER-USER", "-j", "RETURN"]);
    await assertServed(swarm);
    await assertReset(swarm, before);
  });
});

const USERS_TABLE = `table inet mine {
  set blocked { type ipv4_addr; elements = { 203.0.113.7 } }
  chain incoming { type filter hook input priority 0; ip saddr @blocked drop; }
  chain passing { type filter hook forward priority 10; ip saddr @blocked drop; }
  chain marks { type filter hook prerouting priority -160; meta mark set meta mark | 0x80000400; }
}
`;

async function runWeb(swarm: Swarm): Promise<void> {
  await Promise.all(swarm.hosts.map((host) => host.startDaemon()));
  await swarm.form();
  const spread = ["--replicas", "2", "--replicas-max-per-node", "1"];
  await swarm.create("web", ...spread, "--publish", `${PORT}:80`, "nginx");
  await swarm.answering(PORT);
}

/** From outside and from the hosts themselves, both tasks answer through both nodes, and see who asked. */
async function assertServed(swarm: Swarm): Promise<void> {
  const client = swarm.client();
  const addresses = swarm.hosts.flatMap(({ ip, ipv6 }) => [ip, ipv6]);
  const asks = addresses.flatMap((address) => Array.from({ length: 12 }, () => ask(address)));
  const look = async () => {
    const results = await probe(client, asks);
    for (const address of addresses) {
      const through = results.filter((result) => result.probe.address === address);
      const seen = address.includes(":") ? client.ipv6 : client.ip;
      assert.deepEqual([...new Set(through.map(({ error }) => error))], [undefined], address);
      assert.deepEqual([...new Set(through.map((result) => result.client))], [seen], address);
      assert.equal(new Set(through.map(({ task }) => task)).size, 2, `through ${address}`);
    }
  };
  await lastly(look);
  for (const host of swarm.hosts) {
    const local = ["127.0.0.1", host.ip, "::1", host.ipv6].map(ask);
    const results = await probe(host, local);
    assert.deepEqual([...new Set(results.map(({ error }) => error))], [undefined]);
  }
}

function ask(address: string): Probe {
  return { kind: "http", address, port: PORT };
}

/** What must become so in a moment; its last failure is told when it does not. */
async function lastly(check: () => Promise<void>): Promise<void> {
  let failure: unknown;
  const look = async () => {
    try {
      await check();
      return true;
    } catch (error) {
      failure = error;
      return false;
    }
  };
  await until(look, { what: "it", timeoutMs: 20_000 }).catch(() => {
    throw failure;
  });
}

/** Nothing fails on fresh or kept connections through these addresses while something is done. */
async function duringLoad(
  swarm: Swarm,
  act: () => Promise<unknown>,
  through: readonly string[] = swarm.hosts.map(({ ip }) => ip),
): Promise<void> {
  const urls = through.map((address) => `http://${address}:${PORT}/`);
  await unharmed([swarm.client()], urls, async () => void (await act()));
}

async function ufw(host: Host, change: string): Promise<void> {
  await host.execOk(["ufw", "--force", change]);
}

/** firewalld with the system bus that it needs; the Engine is started again, as it has lost its rules. */
async function startFirewalld(host: Host): Promise<void> {
  await host.execOk(["mkdir", "-p", "/run/dbus"]);
  await host.execOk(["dbus-daemon", "--system", "--fork"]);
  const ports = ["--add-port=2377/tcp", "--add-port=4789/udp"];
  await host.execOk(["firewall-offline-cmd", ...ports]);
  await host.spawn(["firewalld", "--nofork", "--nopid"], { name: "firewalld" });
  const isUp = async () => (await host.exec(["firewall-cmd", "--state"])).code === 0;
  await until(isUp, { what: "firewalld to be up" });
  await host.restartEngine();
}

/** As documented: ufw does not close published ports, a table of the user's that goes and comes with ufw does. */
async function shutOutByUfw(swarm: Swarm, host: Host): Promise<void> {
  const [hook, table, kept] = [
    "/etc/ufw/before.init",
    "/etc/ufw/published.nft",
    "/run/before.init",
  ];
  const write = (path: string, stdin: string) => host.execOk(["tee", path], { stdin });
  await host.execOk(["mv", hook, kept]);
  await write(table, usersRule(`ip saddr ${swarm.client().ip} reject with tcp reset`));
  await write(hook, UFW_HOOK);
  await host.execOk(["chmod", "755", hook]);
  await ufw(host, "reload");
  const client = swarm.client();
  const errors = async () =>
    (
      await probe(
        client,
        swarm.hosts.map(({ ip }) => ask(ip)),
      )
    ).map(({ error }) => error);
  const wanted = swarm.hosts.map((one) => (one === host ? "ECONNREFUSED" : undefined));
  assert.deepEqual(await errors(), wanted);
  await ufw(host, "disable");
  const left = await host.exec(["nft", "list", "table", "inet", "mine"]);
  assert.notEqual(left.code, 0, "ufw's hook has taken the user's table away");
  assert.deepEqual(
    await errors(),
    swarm.hosts.map(() => undefined),
  );
  await host.execOk(["rm", table]);
  await host.execOk(["mv", kept, hook]);
  await ufw(host, "enable");
}

const UFW_HOOK = `#!/bin/sh
case "$1" in
start) nft -f /etc/ufw/published.nft ;;
stop) nft delete table inet mine 2>/dev/null || true ;;
esac
`;

function usersRule(rule: string): string {
  return `table inet mine
delete table inet mine
table inet mine {
  chain published {
    type filter hook prerouting priority -120;
    tcp dport ${PORT} ${rule}
  }
}
`;
}

/** As documented: a direct rule before DNAT. */
async function shutOutByFirewalld(swarm: Swarm, host: Host): Promise<void> {
  const client = swarm.client();
  const rule = ["-p", "tcp", "--dport", `${PORT}`, "-s", client.ip, "-j", "DROP"];
  const direct = (change: string) =>
    host.execOk(["firewall-cmd", "--direct", change, "ipv4", "mangle", "PREROUTING", "0", ...rule]);
  await direct("--add-rule");
  const [shut] = await probe(client, [ask(host.ip)]);
  assert.equal(shut?.error, "ETIMEDOUT");
  await direct("--remove-rule");
  // Empty now, and left by iptables.
  await host.execOk(["nft", "delete", "table", "ip", "mangle"]);
  await assertServed(swarm);
}

async function trusted(host: Host, ...scope: string[]): Promise<string> {
  const words = [...scope, "--zone=trusted", "--list-interfaces"];
  const listed = await host.execOk(["firewall-cmd", ...words]);
  return listed.trim().split(/\s+/).sort().join(" ");
}

function traced(host: Host): Promise<Traces> {
  return everythingOf(host, {
    "iptables-legacy": ["sh", "-c", "iptables-legacy-save | sed 's/^#.*//; s/ \\[.*//'"],
  });
}

async function reset(host: Host): Promise<void> {
  await host.stopDaemon();
  const { code, stderr } = await weft(host, "reset", "--force");
  assert.equal(code, 0, stderr);
}

async function assertReset(swarm: Swarm, before: readonly Traces[]): Promise<void> {
  for (const [index, host] of swarm.hosts.entries()) {
    await reset(host);
    assertSameTraces(host, before[index] ?? {}, await traced(host));
  }
}

/** How many rules of the chain let the mesh's links through. */
function acceptedLinks(chain: string): number {
  return chain.split("\n").filter((rule) => /^-A .*-[io] (weft0|w[vb]\+) .*ACCEPT$/.test(rule))
    .length;
}
