/** What outlives the daemon, what a change touches, what is forgotten, mended, kept out, and taken away. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { ACCEPT_RULES } from "../../src/datapath/engine-firewall.ts";
import { until } from "../../src/lab/until.ts";
import { CLIENT, inNamespace, Lab, type Place, whyNot } from "./datapath/lab.ts";
import { Mesh } from "./datapath/mesh.ts";

const H1 = "192.168.99.100";
const H2 = "192.168.99.101";
const B2 = "10.255.0.11";
const TASKS = [
  { name: "a1", host: "h1", address: "10.255.0.10" },
  { name: "b2", host: "h2", address: B2 },
  { name: "c3", host: "h3", address: "10.255.0.12" },
  // Of services that drain, fail and move on, so of no other.
  { name: "d2", host: "h2", address: "10.255.0.21" },
  { name: "e3", host: "h3", address: "10.255.0.22" },
] as const;
const WEB = 8080;
const OTHER = 8081;
const DRAINED = 8082;
const SILENT = 8083;
const LATE = 8084;
const TAKEN = 8085;
const LIMITED = 8086;
/** At most: for TCP and UDP a verdict out and in, an endpoint, a chain of its size with two rules; two to forget. */
const COMMANDS_OF_ONE_SERVICE = 16;

describe("a mesh that runs", { skip: whyNot() }, () => {
  let lab: Lab;
  let mesh: Mesh;
  let client: Place;
  let untouched: string;

  before(async () => {
    lab = await Lab.make();
    mesh = new Mesh(lab, TASKS);
    client = await lab.client("client", CLIENT);
    untouched = await lab.host("h3").run("iptables-save");
    await mesh.startTasks();
    mesh.publish(WEB, ["a1", "b2", "c3"]);
    mesh.publish(OTHER, ["b2"]);
    lab.host("h3").startDaemon("spawn");
    await mesh.apply();
  });
  after(async () => await lab[Symbol.asyncDispose]());

  it("changes nothing when it is told the same again", async () => {
    assert.deepEqual(await mesh.apply(), [0, 0, 0]);
    for (const host of lab.hosts) assert.deepEqual(await host.audit(), []);
  });

  it("loses no request when the daemon is killed and starts again", async () => {
    const host = lab.host("h1");
    const before = await host.fingerprint();
    await client.call({ call: "load", protocol: "tcp", address: H1, port: WEB });
    for (let kill = 0; kill < 3; kill++) {
      await host.killDaemon();
      host.startDaemon(kill === 1 ? "spawn" : "library");
      assert.equal((await host.apply(mesh.view(host))).changes, 0);
    }
    const result = await client.call({ call: "endLoad" });
    const { answered, failures } = result as { answered: number; failures: string[] };
    assert.deepEqual(failures, []);
    assert(answered > 100, `${answered} answers`);
    assert.deepEqual((await host.fingerprint()).split("\n"), before.split("\n"));
  });

  it("touches one service when one service changes", async () => {
    mesh.publish(OTHER, ["b2", "c3"]);
    for (const changes of await mesh.apply()) {
      assert(changes > 0 && changes <= COMMANDS_OF_ONE_SERVICE, `${changes} commands`);
    }
    mesh.publish(OTHER, ["b2"]);
    await mesh.apply();
    for (const host of lab.hosts) assert.deepEqual(await host.audit(), []);
  });

  it("lets a draining task finish its connections and gives it no new ones", async () => {
    mesh.publish(DRAINED, ["d2"]);
    await mesh.apply();
    const ask = { protocol: "tcp", address: H1, port: DRAINED } as const;
    const first = await client.call({ call: "open", name: "kept", ...ask });
    mesh.publish(DRAINED, ["d2:draining", "e3"]);
    await mesh.apply();
    assert.equal(await client.call({ call: "say", name: "kept" }), first);
    for (let asked = 0; asked < 10; asked++) assert.equal(await client.ask(ask), `e3 ${CLIENT}`);
  });

  it("balances a client's next datagram afresh when its task drains or is gone", async () => {
    const ask = { protocol: "udp", address: H1, port: DRAINED, from: 40_100 } as const;
    mesh.publish(DRAINED, ["d2"]);
    await mesh.apply();
    assert.equal(await client.ask(ask), `d2 ${CLIENT}`);
    mesh.publish(DRAINED, ["d2:draining", "e3"]);
    await mesh.apply();
    assert.equal(await client.ask(ask), `e3 ${CLIENT}`);
    mesh.publish(DRAINED, ["a1"]);
    await mesh.apply();
    assert.equal(await client.ask(ask), `a1 ${CLIENT}`);
  });

  it("balances a retransmitted SYN afresh when the task is gone", async () => {
    const silence = "*filter\n-A INPUT -i eth0 -j DROP\nCOMMIT\n";
    await inNamespace(mesh.place("e3").namespace, ["iptables-restore"], silence);
    mesh.publish(SILENT, ["e3"]);
    await mesh.apply();
    // A SYN is sent again after 1, 3 and 7 seconds.
    const ask = { protocol: "tcp", address: H1, port: SILENT, deadlineMs: 10_000 } as const;
    const answer = client.ask(ask);
    await untilConntrack(H1, "SYN_SENT");
    mesh.publish(SILENT, ["b2"]);
    await mesh.apply();
    assert.equal(await answer, `b2 ${CLIENT}`);
    await inNamespace(mesh.place("e3").namespace, ["iptables", "-F"]);
  });

  async function untilConntrack(address: string, state: string): Promise<void> {
    const list = ["conntrack", "-L", "-p", "tcp", "-d", address];
    const isThere = async () => (await lab.host("h1").run(...list)).includes(state);
    await until(isThere, { what: `a connection to ${address} in ${state}` });
  }

  it("forgets what a process of the host was sent before the mesh had the port", async () => {
    const host = lab.host("h1");
    await host.place.call({ call: "serve", name: "process", port: LATE });
    const ask = { protocol: "udp", address: H1, port: LATE, from: 40_200 } as const;
    assert.equal(await client.ask(ask), `process ${CLIENT}`);
    mesh.publish(LATE, ["b2"]);
    await mesh.apply();
    assert.equal(await client.ask(ask), `b2 ${CLIENT}`);
  });

  it("lets a connection of a host's process go on when the mesh gets the port", async () => {
    const host = lab.host("h1");
    await host.place.call({ call: "serve", name: "process", port: TAKEN });
    const ask = { protocol: "tcp", address: H1, port: TAKEN } as const;
    const before = await client.call({ call: "open", name: "old", ...ask });
    mesh.publish(TAKEN, []);
    await mesh.apply();
    assert.equal(await client.call({ call: "say", name: "old" }), before);
    assert.equal(await client.ask(ask), "ECONNREFUSED");
  });

  it("carries large payloads both ways", async () => {
    const bytes = 1_000_000;
    const ask = { call: "echo", protocol: "tcp", port: OTHER, bytes } as const;
    assert.equal(await client.call({ ...ask, address: H1 }), bytes);
    assert.equal(await lab.host("h1").place.call({ ...ask, address: "127.0.0.1" }), bytes);
  });

  it("leaves other programs' bits of the mark alone", async () => {
    const host = lab.host("h2");
    const rules = `table inet other {
      chain marks { type filter hook prerouting priority -160; iifname "wv*" meta mark set 0x80000401; }
      chain seen { type filter hook postrouting priority 200; oifname "weft0" meta mark & 0x8000ffff == 0x80000401 counter; }
    }`;
    await inNamespace(host.namespace, ["nft", "-f", "-"], rules);
    const answer = await client.ask({ protocol: "tcp", address: H1, port: OTHER });
    const seen = await host.run("nft", "list", "chain", "inet", "other", "seen");
    await host.run("nft", "delete", "table", "inet", "other");
    assert.equal(answer, `b2 ${CLIENT}`);
    assert.match(seen, /counter packets [1-9]/);
  });

  it("leads only those to a port who may reach it, where it is answered", async () => {
    const tcp = { protocol: "tcp", address: H1, port: LIMITED } as const;
    const udp = { ...tcp, protocol: "udp" } as const;
    const host = lab.host("h1").place;
    const asked = async () => [
      await client.ask(tcp),
      await client.ask(udp),
      await host.ask({ ...tcp, address: "127.0.0.1" }),
      await client.ask({ ...tcp, address: H2 }),
    ];
    const [led, local] = [`b2 ${CLIENT}`, "b2 10.255.0.2"];
    const refused = "ECONNREFUSED";
    const rows = [
      [{ allowedSources: ["192.168.99.192/26", "10.1.2.3"] }, [led, led, local, led]],
      [{ allowedSources: ["192.168.0.0/24"] }, [refused, refused, local, refused]],
      [{ boundTo: [H1] }, [led, led, refused, refused]],
      [{ boundTo: ["192.168.99.100/30"], allowedSources: [CLIENT] }, [led, led, refused, led]],
      [{ boundTo: ["127.0.0.0/8"] }, [refused, refused, local, refused]],
      [{}, [led, led, local, led]],
    ] as const;
    for (const [limits, answers] of rows) {
      mesh.publish(LIMITED, ["b2"]);
      mesh.limit(LIMITED, limits);
      await mesh.apply();
      for (const each of lab.hosts) assert.deepEqual(await each.audit(), []);
      assert.deepEqual(await asked(), answers, JSON.stringify(limits));
    }
    mesh.services.delete(LIMITED);
    await mesh.apply();
  });

  it("meets a user's own chain before it is led anywhere, and leaves that alone", async () => {
    const host = lab.host("h1");
    const chain = `table inet mine { chain published { type filter hook prerouting priority -120; ip saddr ${CLIENT} tcp dport ${OTHER} drop; }; }`;
    await inNamespace(host.namespace, ["nft", "-f", "-"], chain);
    const ask = { protocol: "tcp", address: H1, port: OTHER } as const;
    assert.equal(await client.ask(ask), "no answer");
    await mesh.apply();
    assert.deepEqual(await host.audit(), []);
    assert.match(
      await host.run("nft", "list", "table", "inet", "mine"),
      /priority mangle \+ 30|-120/,
    );
    assert.equal(await client.ask({ ...ask, address: H2 }), `b2 ${CLIENT}`);
    await host.run("nft", "delete", "table", "inet", "mine");
    assert.equal(await client.ask(ask), `b2 ${CLIENT}`);
  });

  it("keeps out whoever routes straight to a task's port", async () => {
    await inNamespace(client.namespace, ["ip", "route", "add", B2, "via", H2]);
    const answer = await client.ask({ protocol: "tcp", address: B2, port: 80 });
    await inNamespace(client.namespace, ["ip", "route", "del", B2]);
    assert.equal(answer, "no answer");
  });

  it("drops the tunnel's packets from a host that is no member", async () => {
    const mac = "02:42:0a:ff:00:03";
    for (const command of [
      `link add vx type vxlan id 4096 dstport 4789 local ${CLIENT} remote ${H2}`,
      "addr add 10.255.0.12/32 dev vx",
      "link set vx up",
      `neigh replace ${B2} lladdr ${mac} dev vx`,
      `route add ${B2} dev vx`,
    ]) {
      await inNamespace(client.namespace, ["ip", ...command.split(" ")]);
    }
    const send = { call: "send", protocol: "udp", address: B2, port: 80, times: 3 } as const;
    const served = async () => Number(await mesh.place("b2").call({ call: "served" }));
    const before = await served();
    await client.call(send);
    assert.equal(await served(), before);
    // The same packets from a member arrive: it is membership that decides.
    const element = ["element", "inet", "weft", "peers", `{ ${CLIENT} }`];
    await lab.host("h2").run("nft", "add", ...element);
    await client.call(send);
    await until(async () => (await served()) === before + 3, { what: "the packets to be served" });
    await inNamespace(client.namespace, ["ip", "link", "del", "vx"]);
    assert.deepEqual(await lab.host("h2").audit(), [`peers wrongly had ${CLIENT}`]);
  });

  it("lets a member go, and come back", async () => {
    const host = lab.host("h1");
    const before = await host.fingerprint();
    mesh.absent.add("h3");
    await mesh.apply();
    const without = await host.fingerprint();
    assert.doesNotMatch(without, /10\.255\.0\.4|02:42:0a:ff:00:04|via 10\.255\.0\.4/);
    assert.deepEqual(await host.audit(), []);
    for (let asked = 0; asked < 10; asked++) {
      const answer = await client.ask({ protocol: "tcp", address: H1, port: WEB });
      assert.match(answer, /^(a1|b2) /);
    }
    mesh.absent.clear();
    await mesh.apply();
    assert.deepEqual(shownOf(await host.fingerprint()), shownOf(before));
    assert.deepEqual(await host.audit(), []);
  });

  it("makes its link anew when the tunnel's number changes", async () => {
    mesh.vni = 4097;
    await mesh.apply();
    for (const host of lab.hosts) assert.deepEqual(await host.audit(), []);
    const ask = { protocol: "tcp", address: H1, port: OTHER } as const;
    assert.equal(await client.ask(ask), `b2 ${CLIENT}`);
    mesh.vni = 4096;
    await mesh.apply();
    assert.equal(await client.ask(ask), `b2 ${CLIENT}`);
  });

  it("follows the uplink's MTU", async () => {
    const host = lab.host("h1");
    await host.run("ip", "link", "set", "eth0", "mtu", "1400");
    assert.match((await host.audit()).join("\n"), /link weft0 had another address, MTU/);
    assert.match(await host.run("ip", "link", "show", "weft0"), /mtu 1350/);
    await host.run("ip", "link", "set", "eth0", "mtu", "1500");
    await host.audit();
    assert.match(await host.run("ip", "link", "show", "weft0"), /mtu 1450/);
  });

  const DAMAGES: readonly (readonly [what: string, command: string, found: RegExp])[] = [
    ["its table", "nft delete table inet weft", /table inet weft was missing/],
    ["everybody's rules", "nft flush ruleset", /table netdev weft was missing/],
    [
      "a chain's rules",
      "nft flush chain inet weft nat_prerouting",
      /rules of chain nat_prerouting/,
    ],
    ["an element", "nft flush map inet weft zone_mark", /zone_mark lacked/],
    ["its link", "ip link del weft0", /link weft0 was missing/],
    ["a route", `ip route del ${B2}`, /route 10.255.0.11 via 10.255.0.3 dev weft0 was missing/],
    ["its rule", "ip rule del priority 1000", /routing rule 1000/],
    ["a neighbour", "ip neigh flush dev weft0 nud permanent", /neighbour 10.255.0.3 was missing/],
    ["an entry", `bridge fdb del 02:42:0a:ff:00:03 dev weft0 dst ${H2}`, /forwarding entry/],
    ["the link's state", "ip link set weft0 down", /link weft0 was down/],
    ["a setting", "sysctl -qw net.ipv4.conf.wva1.route_localnet=0", /route_localnet was 0/],
    ["forwarding", "sysctl -qw net.ipv4.ip_forward=0", /ip_forward was 0 instead of 1/],
    [
      "a task's route",
      "ip route del 10.255.0.10",
      /route 10.255.0.10 via 10.255.0.10 dev wva1 was missing/,
    ],
  ];
  for (const [what, command, found] of DAMAGES) {
    it(`finds and mends the loss of ${what}`, async () => {
      const host = lab.host("h1");
      await host.run(...command.split(" "));
      const drifts = await host.audit();
      assert.match(drifts.join("\n"), found);
      assert.deepEqual(await host.audit(), []);
      const ask = { protocol: "tcp", port: OTHER } as const;
      assert.equal(await host.place.ask({ ...ask, address: "127.0.0.1" }), "b2 10.255.0.2");
      assert.equal(await mesh.place("b2").ask({ ...ask, address: H1 }), "b2 10.255.0.2");
    });
  }

  it("finds and mends what an Engine's restart did to its chain", async () => {
    const host = lab.host("h3");
    await host.run("iptables", "-F", "DOCKER-USER");
    await host.run("iptables", "-A", "DOCKER-USER", "-j", "RETURN");
    assert.equal((await host.audit()).length, ACCEPT_RULES.length);
    assert.deepEqual(await host.audit(), []);
    const rules = await host.run("iptables", "-S", "DOCKER-USER");
    assert.match(rules.trim().split("\n").at(-1) ?? "", /-j RETURN$/);
  });

  it("finds and mends the way to the Engine's chain", async () => {
    const host = lab.host("h3");
    const rules = await host.run("iptables-save", "-t", "filter");
    await host.run("iptables", "-F", "FORWARD");
    assert.deepEqual(await host.audit(), ["FORWARD lacked -j DOCKER-USER"]);
    assert.deepEqual(await host.audit(), []);
    await inNamespace(host.namespace, ["iptables-restore"], rules);
    assert.deepEqual(await host.audit(), []);
  });

  it("says what hinders the mesh and is not Weft's to change", async () => {
    const host = lab.host("h3");
    const rules = await host.run("iptables-save", "-t", "filter");
    await host.run("iptables", "-F");
    await host.run("iptables", "-X", "DOCKER-USER");
    await host.audit();
    const { problems } = await host.apply(mesh.view(host));
    assert.match(problems.join(), /FORWARD policy DROP.*start the Docker Engine again/);
    await inNamespace(host.namespace, ["iptables-restore"], rules);
    await host.audit();
    assert.deepEqual((await host.apply(mesh.view(host))).problems, []);
  });

  it("applies after somebody has taken its table away meanwhile", async () => {
    const host = lab.host("h3");
    await host.run("nft", "delete", "table", "inet", "weft");
    mesh.publish(OTHER, ["b2", "a1"]);
    await mesh.apply();
    assert.deepEqual(await host.audit(), []);
  });

  it("mends a flush at once, unasked, and no request is lost", async () => {
    const host = lab.host("h1");
    await host.watch();
    const ask = { protocol: "tcp", address: H1, port: WEB } as const;
    const before = await client.call({ call: "open", name: "through-flush", ...ask });
    await host.run("nft", "delete", "table", "inet", "weft");
    const hasTable = async () => (await host.run("nft", "list", "tables")).includes("inet weft");
    await until(hasTable, { what: "the table", intervalMs: 5 });
    assert.equal(await client.call({ call: "say", name: "through-flush" }), before);
    assert.match(await client.ask(ask), new RegExp(` ${CLIENT}$`));
  });

  it("leaves nothing behind after a reset, and nothing of others changed", async () => {
    for (const host of lab.hosts) await host.reset();
    for (const host of lab.hosts) {
      const left = await host.fingerprint();
      assert.doesNotMatch(left, /weft|wv|9338|proto 147|10\.255\.0/);
    }
    const rules = await lab.host("h3").run("iptables-save");
    assert.equal(withoutComments(rules), withoutComments(untouched));
    assert.equal(
      await lab
        .host("h1")
        .audit()
        .then((drifts) => drifts.length),
      0,
    );
  });
});

/** Without handles and order, which a change that was taken back need not keep. */
function shownOf(fingerprint: string): Set<string> {
  const lines = fingerprint.split("\n").map((line) => line.replace(/ # handle \d+$/, ""));
  return new Set(lines.filter((line) => !line.includes("elements") && !/[,}]$/.test(line)));
}

/** iptables-save stamps its output with the time. */
function withoutComments(saved: string): string {
  const lines = saved.split("\n").filter((line) => !line.startsWith("#"));
  return lines.map((line) => line.replace(/\[\d+:\d+\]/, "")).join("\n");
}
