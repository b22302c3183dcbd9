/** The keeper with a real Docker Engine on a lab host. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { dnsQuery } from "../../src/lab/dns-query.ts";
import { httpGet, tryGet } from "../../src/lab/http-get.ts";
import { parseAnswer } from "../../src/lab/images.ts";
import { Lab } from "../../src/lab/lab.ts";
import { labUnavailable } from "../../src/lab/requirements.ts";
import { timed } from "../../src/lab/timed.ts";
import { until } from "../../src/lab/until.ts";
import { KeeperHost } from "./keeper-host.ts";

const skip = (await labUnavailable()) ?? false;

const SUBNET = ["--subnet", "10.255.0.0/16"];
const at = (address: string, network = "ingress") => ["--network", network, "--ip", address];

test("a container on Weft's network, from its first instruction to its end", { skip }, async () => {
  await using lab = await Lab.create({ hosts: 1, clients: 0, images: ["busybox", "nginx"] });
  const host = lab.host(1);
  const keeper = new KeeperHost(host);
  await keeper.start();
  await keeper.createNetwork("ingress", ...SUBNET);

  for (let number = 1; number <= 5; number++) {
    const ping = ["busybox", "ping", "-c", "1", "-W", "1", host.ip];
    await host.engineOk(["run", "--rm", ...at(`10.255.1.${number}`), ...ping]);
  }

  const id = (
    await host.engineOk(["run", "-d", "--name", "web", ...at("10.255.0.5"), "nginx"])
  ).trim();
  const answer = parseAnswer((await httpGet(host, "http://10.255.0.5/")).body);
  assert.equal(answer.task, id.slice(0, 12));
  assert.equal(answer.client, host.ip, "the host speaks to its tasks from an address of its own");
  const format = "{{json .NetworkSettings.Networks.ingress}}";
  assert.partialDeepStrictEqual(await host.engineJson(["inspect", "--format", format, "web"]), {
    IPAddress: "10.255.0.5",
    Gateway: "169.254.1.1",
    MacAddress: "02:42:0a:ff:00:05",
  });

  const { endpoints } = await keeper.client.status();
  const link = endpoints[0]?.link ?? "";
  const abort = new AbortController();
  const events = keeper.client.events(abort.signal);
  assert.equal((await events.next()).value?.kind, "ports");
  assert.deepEqual((await events.next()).value, { kind: "endpoints", endpoints });
  assert.partialDeepStrictEqual(endpoints, [{ address: "10.255.0.5", state: "joined" }]);
  assert.deepEqual(await keeper.links(), [link]);
  const way = `10.255.0.5 via 10.255.0.5 dev ${link} onlink`;
  assert.equal(await keeper.route("10.255.0.5"), way);
  const sysctls = ["rp_filter", "route_localnet"].map((name) => `net.ipv4.conf.${link}.${name}`);
  assert.equal(await host.execOk(["sysctl", "-n", ...sysctls]), "2\n1\n");
  assert.equal(await host.execOk(["sysctl", "-n", "net.ipv4.conf.all.route_localnet"]), "0\n");
  const show = await host.execOk(["ip", "addr", "show", "dev", link]);
  assert.match(show, /mtu 1450 /);
  assert.match(show, /inet 169\.254\.1\.1\/32 scope link/);

  await host.engineOk(["rm", "-f", "web"]);
  const left = { kind: "endpoints", endpoints: [{ address: "10.255.0.5", state: "created" }] };
  assert.partialDeepStrictEqual((await events.next()).value, left);
  assert.deepEqual((await events.next()).value, { kind: "endpoints", endpoints: [] });
  abort.abort();
  assert.deepEqual(await keeper.links(), []);
  assert.equal(await keeper.route("10.255.0.5"), "");
  assert.deepEqual((await keeper.client.status()).endpoints, []);
  await host.engineOk(["network", "rm", "ingress"]);
});

test("networks: overlapping subnets, an MTU of their own, two on one container", {
  skip,
}, async () => {
  await using lab = await Lab.create({ hosts: 1, clients: 0, images: ["busybox"] });
  const host = lab.host(1);
  const keeper = new KeeperHost(host);
  await keeper.start();
  await keeper.createNetwork("ingress", ...SUBNET);
  await keeper.createNetwork("other", ...SUBNET, "-o", "com.docker.network.driver.mtu=1300");
  const run = ["run", "-d", "--name", "both", ...at("10.255.0.5"), "busybox", "sleep", "1000"];
  await host.engineOk(run);
  await host.engineOk(["network", "connect", "--ip", "10.255.0.6", "other", "both"]);
  const inside = await host.container("both");
  const routes = (await inside.exec(["ip", "route"])).stdout;
  assert.match(routes, /^default via 169\.254\.1\.1 dev eth0/m);
  const links = (await inside.exec(["ip", "-o", "link"])).stdout;
  assert.match(links, /eth0@.* mtu 1450 /);
  assert.match(links, /eth1@.* mtu 1300 /);
  await host.engineOk(["network", "disconnect", "other", "both"]);
  assert.equal((await keeper.links()).length, 1);
  await host.execOk(["busybox", "ping", "-c", "1", "-W", "1", "10.255.0.5"]);
  // A container that starts with both: the Engine refuses two gateways.
  await host.engineOk(["network", "connect", "--ip", "10.255.0.6", "other", "both"]);
  await host.engineOk(["restart", "-t", "0", "both"]);
});

test("overlay networks: one LAN for their containers, none for those of another", {
  skip,
}, async () => {
  await using lab = await Lab.create({ hosts: 1, clients: 0, images: ["busybox"] });
  const host = lab.host(1);
  const keeper = new KeeperHost(host);
  await keeper.start();
  const ipv6 = ["--ipv6", "--subnet", "fd00:1::/64"];
  await keeper.createOverlay("one", 4097, "--subnet", "10.0.1.0/24", ...ipv6);
  await keeper.createOverlay("two", 4098, "--subnet", "10.0.1.0/24");
  await keeper.createOverlay("shut", 4099, "--subnet", "10.0.3.0/24", "--internal");
  await keeper.createNetwork("ingress", ...SUBNET);
  const run = async (name: string, ...network: string[]) => {
    await host.engineOk(["run", "-d", "--name", name, ...network, "busybox", "sleep", "1000"]);
    return await host.container(name);
  };
  const a = await run("first", ...at("10.0.1.5", "one"), "--ip6", "fd00:1::5");
  await run("second", ...at("10.0.1.6", "one"), "--ip6", "fd00:1::6");
  const other = await run("other", ...at("10.0.1.6", "two"));
  const shut = await run("shut", ...at("10.0.3.5", "shut"));
  const reaches = async (from: typeof a, address: string) =>
    (await from.exec(["ping", "-c", "1", "-W", "1", address])).code === 0;

  // The datapath's rule: frames on one bridge meet the Engine's FORWARD chain.
  await host.execOk(["iptables", "-I", "DOCKER-USER", "-i", "wb+", "-o", "wb+", "-j", "ACCEPT"]);
  assert.ok(await reaches(a, "10.0.1.6"));
  assert.ok(await reaches(a, "fd00:1::6"));
  assert.ok(await reaches(a, host.ip), "the Engine's own bridge leads out");
  assert.match((await a.exec(["ip", "-o", "link"])).stdout, /eth0@.* mtu 1450 /);
  assert.match((await a.exec(["ip", "-o", "addr"])).stdout, /inet 10\.0\.1\.5\/24 /);
  assert.match((await a.exec(["ip", "route"])).stdout, /^default via .* dev eth1/m);
  assert.equal(await reaches(other, "10.0.1.5"), false, "the same subnet, another network");
  assert.equal(await reaches(shut, host.ip), false, "an internal network has no way out");
  assert.equal((await shut.exec(["ip", "route", "show", "default"])).stdout, "");

  // On the mesh's own network as well, that is its way out and the Engine adds none.
  await run("both", ...at("10.255.0.5"));
  await host.engineOk(["network", "connect", "--ip", "10.0.1.7", "two", "both"]);
  await host.engineOk(["restart", "-t", "0", "both"]);
  const both = await host.container("both");
  assert.match((await both.exec(["ip", "route"])).stdout, /^default via 169\.254\.1\.1 /m);
  assert.doesNotMatch((await both.exec(["ip", "-o", "addr"])).stdout, /eth2/);
  assert.ok(await reaches(both, "10.0.1.6"));

  const bridges = await host.execOk(["ip", "-o", "addr", "show"]);
  assert.doesNotMatch(bridges, /wb00/, "no address of the host is in a network");
  const { endpoints } = await keeper.client.status();
  assert.partialDeepStrictEqual(
    endpoints.find(({ address }) => address === "10.0.1.5"),
    { vni: 4097, addressIPv6: "fd00:1::5", state: "joined" },
  );
  await host.engineOk(["rm", "-f", "first", "second", "other", "shut", "both"]);
  assert.deepEqual(await keeper.links(), []);
});

test("what cannot be is refused in plain words", { skip }, async () => {
  await using lab = await Lab.create({ hosts: 1, clients: 0, images: ["busybox"] });
  const host = lab.host(1);
  const keeper = new KeeperHost(host);
  await keeper.start();
  await keeper.createNetwork("ingress", ...SUBNET);
  const refusals: readonly (readonly [string[], RegExp])[] = [
    [["run", "--rm", "--network", "ingress", "busybox", "true"], /given by its managers/],
    [["network", "create", "-d", "weft", "x"], /--ipam-driver weft/],
    [["network", "create", "-d", "weft", "--ipam-driver", "weft", "x"], /--subnet/],
  ];
  for (const [args, message] of refusals) {
    const { code, stderr } = await host.engine(args);
    assert.notEqual(code, 0);
    assert.match(stderr, message);
  }
  const second = await host.exec(keeper.argv);
  assert.notEqual(second.code, 0);
  assert.match(second.stderr, /a keeper runs in this network namespace already/);
});

test("containers neither notice the keeper's death nor the Engine's restart", {
  skip,
}, async () => {
  await using lab = await Lab.create({ hosts: 1, clients: 0, images: ["busybox", "nginx"] });
  const host = lab.host(1);
  const keeper = new KeeperHost(host);
  await keeper.start();
  await keeper.createNetwork("ingress", ...SUBNET);
  await host.engineOk(["run", "-d", "--name", "web", ...at("10.255.0.5"), "nginx"]);
  await host.engineOk([
    "run",
    "-d",
    "--name",
    "always",
    "--restart",
    "always",
    ...at("10.255.0.6"),
    "nginx",
  ]);
  await keeper.client.holdPorts([{ protocol: "tcp", port: 8080 }]);

  await keeper.end("SIGKILL");
  await httpGet(host, "http://10.255.0.5/");
  await keeper.start();
  const status = await keeper.client.status();
  assert.deepEqual(status.ports, [{ protocol: "tcp", port: 8080, state: "held" }]);
  assert.equal(status.endpoints.length, 2);
  await httpGet(host, "http://10.255.0.5/");
  // Each call to a plugin that does not answer takes 15 s.
  assert.ok((await timed(() => host.engineOk(["stop", "-t", "0", "web"]))) < 12_000);
  assert.equal((await keeper.links()).length, 1);

  // With the plugin's socket dead this takes most of a minute.
  assert.ok((await timed(() => host.restartEngine())) < 30_000);
  await until(async () => (await tryGet(host, "http://10.255.0.6/")).status === 200, {
    what: "the container that always restarts",
  });
  assert.equal((await keeper.links()).length, 1);
  assert.deepEqual(
    (await keeper.client.status()).endpoints.map(({ address }) => address),
    ["10.255.0.6"],
  );
});

test("what a dead keeper left behind is cleaned, what lives is adopted", { skip }, async () => {
  await using lab = await Lab.create({ hosts: 1, clients: 0, images: ["busybox"] });
  const host = lab.host(1);
  const keeper = new KeeperHost(host);
  await keeper.start();
  await keeper.createNetwork("ingress", ...SUBNET);
  for (const [name, address] of [
    ["lives", "10.255.0.5"],
    ["lost", "10.255.0.6"],
  ] as const) {
    await host.engineOk(["run", "-d", "--name", name, ...at(address), "busybox", "sleep", "1000"]);
  }
  const { endpoints } = await keeper.client.status();
  const linkOf = (address: string) =>
    endpoints.find((each) => each.address === address)?.link ?? "";
  await keeper.end("SIGKILL");
  await host.execOk(["ip", "link", "delete", linkOf("10.255.0.6")]);
  const halfMade = ["wv0123456789ab", "type", "veth", "peer", "name", "wc0123456789ab"];
  await host.execOk(["ip", "link", "add", ...halfMade]);

  await keeper.start();
  assert.deepEqual(await keeper.links(), [linkOf("10.255.0.5")]);
  const left = (await keeper.client.status()).endpoints;
  assert.deepEqual(
    left.map(({ address, state }) => [address, state]),
    [["10.255.0.5", "joined"]],
  );

  // A keeper that has lost its state does not take a running container's network.
  await keeper.end("SIGKILL");
  await host.execOk(["rm", "/var/lib/weft/keeper/state.json"]);
  await keeper.start();
  await host.execOk(["busybox", "ping", "-c", "1", "-W", "1", "10.255.0.5"]);
  await host.engineOk(["rm", "-f", "lives", "lost"]);
  assert.deepEqual(await keeper.links(), []);
});

test("a port that a process of the host has is left to it, and held when it is free", {
  skip,
}, async () => {
  await using lab = await Lab.create({ hosts: 1, clients: 1, engine: false });
  const host = lab.host(1);
  const keeper = new KeeperHost(host);
  await keeper.start();
  const busy = { state: "busy", reason: "address already in use" };
  for (const address of ["127.0.0.1", host.ip, "[::1]"]) {
    const program = ["busybox", "httpd", "-f", "-p", `${address}:8080`, "-h", "/etc"];
    const process = await host.spawn(program);
    const hostname = `http://${address}:8080/hostname`;
    await until(async () => (await tryGet(host, hostname)).status === 200, { what: "httpd" });
    const holds = await keeper.client.holdPorts([
      { protocol: "tcp", port: 8080 },
      { protocol: "udp", port: 8080 },
    ]);
    assert.partialDeepStrictEqual(holds, [{ ...busy, protocol: "tcp" }, { state: "held" }]);
    await httpGet(host, hostname);

    const abort = new AbortController();
    const seen = keeper.client.events(abort.signal)[Symbol.asyncIterator]();
    await seen.next();
    await seen.next();
    await process.end("SIGKILL");
    const change = await seen.next();
    abort.abort();
    assert.partialDeepStrictEqual(change.value, {
      kind: "ports",
      ports: [{ protocol: "tcp", port: 8080, state: "held" }],
    });
    const taken = await host.exec([...program]);
    assert.match(taken.stderr, /in use/);
    await keeper.client.holdPorts([]);
  }
});

test("IPv6 clients of a held port are led to where the kernel leads 127.0.0.1", {
  skip,
}, async () => {
  await using lab = await Lab.create({ hosts: 1, clients: 1, images: ["nginx", "dns-cache"] });
  const [host, client] = [lab.host(1), lab.client()];
  const keeper = new KeeperHost(host);
  await keeper.start();
  await keeper.createNetwork("ingress", ...SUBNET);
  await host.engineOk(["run", "-d", ...at("10.255.0.5"), "nginx"]);
  const dns = (await host.engineOk(["run", "-d", ...at("10.255.0.6"), "dns-cache"])).trim();
  await keeper.client.holdPorts([
    { protocol: "tcp", port: 8080 },
    { protocol: "udp", port: 53 },
    { protocol: "tcp", port: 53 },
  ]);

  // Without a rule nobody waits: IPv4 is reset, and so is IPv6 through it.
  for (const name of [host.ip, "127.0.0.1", "[::1]"]) {
    assert.equal((await tryGet(host, `http://${name}:8080/`)).failure, "reset", name);
  }

  await host.execOk(["nft", "-f", "-"], { stdin: RULES });
  for (const [from, name] of [
    [host, "127.0.0.1"],
    [host, "[::1]"],
    [host, `[${host.ipv6}]`],
    [client, `[${host.ipv6}]`],
  ] as const) {
    await httpGet(from, `http://${name}:8080/`);
  }
  for (const protocol of ["udp", "tcp"] as const) {
    for (const [from, server] of [
      [host, "::1"],
      [client, host.ipv6],
    ] as const) {
      const asked = { server, protocol, name: "task.test", type: "TXT", times: 3 } as const;
      const answers = await dnsQuery(from, asked);
      assert.deepEqual(
        answers.map(({ records }) => records),
        [1, 2, 3].map(() => [dns.slice(0, 12)]),
      );
    }
  }

  // Whichever of its addresses is asked answers, one that came later too; those that are gone are let go.
  const second = host.ipv6.replace(/\d+$/, "aa");
  await host.addAddress(`${second}/64`);
  const ask = async (server: string) => {
    const [answer] = await dnsQuery(client, { server, name: "task.test", type: "TXT" });
    return answer?.records?.[0] === dns.slice(0, 12);
  };
  await until(() => ask(second), { what: `an answer from ${second}` });
  assert.ok(await ask(host.ipv6));
  await host.removeAddress(`${second}/64`);
  await until(
    async () => !(await host.execOk(["ss", "-Hlun", "sport = 53"])).includes(`[${second}]`),
    { what: "the socket of an address that is gone to go" },
  );
  assert.ok(await ask(host.ipv6));

  // The rule refuses: so is the client, at once.
  await host.execOk(["nft", "-f", "-"], { stdin: REFUSE });
  assert.equal((await tryGet(host, "http://[::1]:8080/")).failure, "reset");
});

const RULES = `table ip keepertest {
  chain output {
    type nat hook output priority -100;
    ip daddr 127.0.0.1 tcp dport 8080 dnat to 10.255.0.5:80
    ip daddr 127.0.0.1 meta l4proto { tcp, udp } th dport 53 dnat to 10.255.0.6
  }
  chain postrouting {
    type nat hook postrouting priority 100;
    ip saddr 127.0.0.0/8 oifname "wv*" masquerade
  }
}
`;

const REFUSE = `table ip keepertest {
  chain refuse {
    type filter hook output priority -150;
    ip daddr 127.0.0.1 tcp dport 8080 reject with tcp reset
  }
}
`;
