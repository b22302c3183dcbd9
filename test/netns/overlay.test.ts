/**
 * Users' overlay networks on three hosts as namespaces: who reaches whom, what never leaves a host, and how virtual
 * IPs lead. With br_netfilter on and an Engine's FORWARD policy of DROP, for IPv6 too.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { systemClock } from "../../src/base/clock.ts";
import { bridgeName, macOf, tunnelName } from "../../src/base/overlay-links.ts";
import { NftError } from "../../src/datapath/nft/nft.ts";
import { spawnedNft } from "../../src/datapath/nft/open.ts";
import { sandboxEntrance } from "../../src/datapath/overlay/sandbox-entrance.ts";
import { runTool } from "../../src/datapath/run.ts";
import { until } from "../../src/lab/until.ts";
import type { Ask } from "./datapath/agent.ts";
import {
  CLIENT,
  type Host,
  inNamespace,
  Lab,
  type Place,
  resetsSent,
  whyNot,
} from "./datapath/lab.ts";
import { linkOf, Overlays } from "./datapath/overlays.ts";

const ONE = 4097;
const TWO = 4098;
const TASKS = [
  { name: "a1", host: "h1", vni: ONE, addresses: ["10.0.1.11", "fd00:1::11"] },
  { name: "b1", host: "h1", vni: ONE, addresses: ["10.0.1.12", "fd00:1::12"] },
  { name: "c2", host: "h2", vni: ONE, addresses: ["10.0.1.13", "fd00:1::13"] },
  { name: "d3", host: "h3", vni: ONE, addresses: ["10.0.1.14", "fd00:1::14"] },
  { name: "e2", host: "h2", vni: ONE, addresses: ["10.0.1.15", "fd00:1::15"] },
  { name: "f3", host: "h3", vni: ONE, addresses: ["10.0.1.16", "fd00:1::16"] },
  // The same subnet and the same addresses on another network.
  { name: "x1", host: "h1", vni: TWO, addresses: ["10.0.1.11"] },
  { name: "y2", host: "h2", vni: TWO, addresses: ["10.0.1.13"] },
  { name: "z3", host: "h3", vni: TWO, addresses: ["10.0.1.99"] },
] as const;
const VIP = "10.0.1.2";
const VIP6 = "fd00:1::2";
const EMPTY_VIP = "10.0.1.3";
const MOVING_VIP = "10.0.1.4";
const MOVING_VIP6 = "fd00:1::4";
/** Enough that three endpoints are all met: the odds against it are below one in a million. */
const ASKED = 45;
const ENGINE_RULES_IPV6 = `*filter
:FORWARD DROP
:DOCKER-USER -
-A FORWARD -j DOCKER-USER
-A DOCKER-USER -j RETURN
COMMIT
`;

/** On the first host, each to the things of the first network. */
const DAMAGES: readonly (readonly [what: string, damage: string])[] = [
  ["a deleted bridge", `ip link delete ${bridgeName(ONE)}`],
  ["a deleted tunnel", `ip link delete ${tunnelName(ONE)}`],
  ["a bridge that is down", `ip link set ${bridgeName(ONE)} down`],
  ["a tunnel that is no port", `ip link set ${tunnelName(ONE)} nomaster`],
  ["a container that is no port", `ip link set ${linkOf({ name: "a1" })} nomaster`],
  ["a port that learns", `bridge link set dev ${linkOf({ name: "a1" })} learning on`],
  ["a tunnel's MTU", `ip link set ${tunnelName(ONE)} mtu 1200`],
  ["a lost remote", `bridge fdb delete ${macOf("10.0.1.13")} dev ${tunnelName(ONE)} self`],
  ["a lost entry", `bridge fdb delete ${macOf("10.0.1.13")} dev ${tunnelName(ONE)} master`],
  [
    "a lost local entry",
    `bridge fdb delete ${macOf("10.0.1.12")} dev ${linkOf({ name: "b1" })} master`,
  ],
  ["a lost neighbour", `ip neigh delete 10.0.1.13 dev ${tunnelName(ONE)}`],
  ["a lost IPv6 neighbour", `ip neigh delete fd00:1::13 dev ${tunnelName(ONE)}`],
  ["a lost table", "nft delete table inet weft_overlay"],
  ["a lost rule", "nft flush chain inet weft_overlay raw_prerouting"],
  ["the lost fast way", "nft delete table netdev weft_overlay"],
  ["a fast way that leads nowhere", `nft flush map netdev weft_overlay at_${bridgeName(ONE)}`],
  ["the Engine's chain", "iptables -F DOCKER-USER"],
  ["a host that would route", `sysctl -qw net.ipv4.conf.${bridgeName(ONE)}.forwarding=1`],
];

describe("overlay networks", { skip: whyNot() }, () => {
  let lab: Lab;
  let overlays: Overlays;

  before(async () => {
    lab = await Lab.make();
    for (const host of lab.hosts) {
      await inNamespace(host.namespace, ["ip6tables-restore"], ENGINE_RULES_IPV6);
      // Counts what this host sends through tunnels.
      const probe =
        "table ip probe { chain sent { type filter hook output priority 0; udp dport 4789 counter; }; }";
      await host.run("nft", probe);
      // Counts what the bridges' hooks see of packets to tasks.
      const bridged =
        "type filter hook prerouting priority -400; iifname wb* ip daddr 10.0.1.11-10.0.1.17 counter;";
      await host.run("nft", `table ip bridged { chain seen { ${bridged} }; }`);
    }
    overlays = new Overlays(lab);
    overlays.addNetwork(ONE, "10.0.1.0/24", "fd00:1::/64");
    overlays.addNetwork(TWO, "10.0.1.0/24");
    for (const task of TASKS) await overlays.start(task);
    overlays.serve(ONE, [VIP, VIP6], "a1", "c2", "d3");
    overlays.serve(ONE, [EMPTY_VIP]);
    await overlays.apply();
  });
  after(async () => await lab[Symbol.asyncDispose]());

  const ask = (from: string, address: string, more: Partial<Ask> = {}) =>
    overlays.place(from).ask({ protocol: "tcp", address, port: 80, ...more });
  const host = (name: "h1" | "h2" | "h3") => lab.host(name);

  for (const [from, to, address] of [
    ["a1", "b1", "10.0.1.12"],
    ["a1", "c2", "10.0.1.13"],
    ["d3", "a1", "10.0.1.11"],
    ["x1", "y2", "10.0.1.13"],
    ["z3", "x1", "10.0.1.11"],
  ] as const) {
    it(`${from} reaches ${to} at ${address}, which sees who called`, async () => {
      const caller = TASKS.find(({ name }) => name === from)?.addresses[0];
      for (const protocol of ["tcp", "udp"] as const) {
        assert.equal(await ask(from, address, { protocol }), `${to} ${caller}`);
      }
    });
  }

  it("IPv6 goes beside IPv4, on one host and between hosts", async () => {
    for (const address of ["fd00:1::12", "fd00:1::13", VIP6]) {
      assert.ok(await pings(overlays.place("a1"), address), address);
    }
  });

  it("what is for nobody, or for everybody, never leaves its host", async () => {
    const { namespace } = overlays.place("a1");
    const sentBefore = await sent(host("h1"));
    for (const nobody of ["10.0.1.99", "fd00:1::99"]) {
      assert.equal(await pings(overlays.place("a1"), nobody), false);
    }
    await inNamespace(namespace, [
      ...["ip", "neigh", "replace", "10.0.1.77", "lladdr", "02:42:0a:00:01:4d"],
      ...["dev", "eth0", "nud", "permanent"],
    ]);
    assert.equal(await pings(overlays.place("a1"), "10.0.1.77"), false, "an unknown MAC address");
    const broadcast = ["ping", "-b", "-c", "1", "-W", "1", "10.0.1.255"];
    await inNamespace(namespace, broadcast).catch(() => "");
    await inNamespace(namespace, ["ping", "-c", "1", "-W", "1", "224.0.0.1"]).catch(() => "");
    await inNamespace(namespace, ["ping", "-c", "1", "-W", "1", "ff02::1%eth0"]).catch(() => "");
    assert.equal(await sent(host("h1")), sentBefore);
    assert.ok(await pings(overlays.place("a1"), "10.0.1.13"));
    assert.ok((await sent(host("h1"))) > sentBefore, "the counter counts");
  });

  it("bridged frames still come by iptables, where that was so: the setting is everybody's", async () => {
    for (const setting of ["iptables", "ip6tables"]) {
      const path = `net.bridge.bridge-nf-call-${setting}`;
      assert.equal((await host("h1").run("sysctl", "-n", path)).trim(), "1", path);
    }
  });

  it("neither the host nor another host's network is reached from a network, nor the other way", async () => {
    const { namespace } = overlays.place("a1");
    const flows = await host("h1").run("conntrack", "-L");
    assert.doesNotMatch(flows, /src=10\.0\.1\./, "no connection of a network is the host's");
    for (const to of [host("h1").address, host("h2").address]) {
      await inNamespace(namespace, ["ip", "route", "replace", `${to}/32`, "dev", "eth0"]);
      assert.equal(await pings(overlays.place("a1"), to), false, to);
    }
    await host("h1").run("ip", "route", "replace", "10.0.1.0/24", "dev", bridgeName(ONE));
    assert.equal(await pings(host("h1").place, "10.0.1.11"), false);
    await host("h1").run("ip", "route", "delete", "10.0.1.0/24", "dev", bridgeName(ONE));
  });

  it("a host that is no member can put nothing into a network; as a member it could", async () => {
    const stranger = await lab.client("stranger", CLIENT);
    const mac = macOf("10.0.1.50");
    const words = (text: string) => text.split(" ");
    const run = (text: string) => inNamespace(stranger.namespace, words(text));
    await run(`ip link add vx type vxlan id ${ONE} dstport 4789 local ${CLIENT} nolearning`);
    await run(`ip link set vx address ${mac} mtu 1450 up`);
    await run("ip addr add 10.0.1.50/24 dev vx");
    const target = macOf("10.0.1.11");
    await run(`ip neigh replace 10.0.1.11 lladdr ${target} dev vx nud permanent`);
    await run(`bridge fdb replace ${target} dev vx dst ${host("h1").address} self permanent`);
    assert.equal(await pings(stranger, "10.0.1.11"), false);

    const view = overlays.view(host("h1"));
    const node = { ...host("h2").node, index: 9, nodeID: "h9", underlayAddress: CLIENT };
    const endpoint = { taskID: "s", taskName: "s", aliases: [], nodeIndex: 9, state: "live" };
    const networks = view.networks.map((network) => ({
      ...network,
      containers: [...network.containers, { ...endpoint, addresses: ["10.0.1.50"] } as const],
    }));
    const peers = [...view.peers, { ...node, overlayAddress: "10.255.0.9" }];
    await host("h1").apply({ ...view, peers, networks: networks as typeof view.networks });
    assert.ok(await pings(stranger, "10.0.1.11"));
    await overlays.apply();
    assert.equal(await pings(stranger, "10.0.1.11"), false);
  });

  it("packets between known addresses pass the bridge's hooks by, on one host and between hosts", async () => {
    const before = await bridged(host("h1"));
    for (const protocol of ["tcp", "udp"] as const) {
      assert.equal(await ask("a1", "10.0.1.12", { protocol }), "b1 10.0.1.11");
      assert.equal(await ask("a1", "10.0.1.13", { protocol }), "c2 10.0.1.11");
      assert.equal(await ask("d3", "10.0.1.11", { protocol }), "a1 10.0.1.14");
    }
    assert.equal(await bridged(host("h1")), before);
    await host("h1").run("nft", "delete", "table", "netdev", "weft_overlay");
    assert.equal(await ask("a1", "10.0.1.13"), "c2 10.0.1.11");
    assert.ok((await bridged(host("h1"))) > before, "the counter counts");
    await host("h1").audit();
  });

  it("what comes under another's MAC address is the bridge's", async () => {
    const { namespace } = overlays.place("b1");
    const address = (mac: string) =>
      inNamespace(namespace, ["ip", "link", "set", "eth0", "address", mac]);
    const before = await bridged(host("h1"));
    await address(macOf("10.0.1.11"));
    await inNamespace(namespace, [
      ...["ip", "neigh", "replace", "10.0.1.13", "lladdr", macOf("10.0.1.13")],
      ...["dev", "eth0", "nud", "permanent"],
    ]);
    assert.equal(await pings(overlays.place("b1"), "10.0.1.13"), false);
    assert.ok((await bridged(host("h1"))) > before);
    await inNamespace(namespace, ["ip", "neigh", "delete", "10.0.1.13", "dev", "eth0"]);
    await address(macOf("10.0.1.12"));
    const settled = await bridged(host("h1"));
    assert.equal(await ask("b1", "10.0.1.13"), "c2 10.0.1.12");
    assert.equal(await bridged(host("h1")), settled);
  });

  it("what is too long for the tunnel never enters it", async () => {
    const { namespace } = overlays.place("a1");
    const port = linkOf({ name: "a1" });
    const setMTU = async (mtu: string) => {
      await host("h1").run("ip", "link", "set", port, "mtu", mtu);
      await inNamespace(namespace, ["ip", "link", "set", "eth0", "mtu", mtu]);
    };
    await setMTU("4000");
    const [before, sentBefore] = [await bridged(host("h1")), await sent(host("h1"))];
    const long = ["ping", "-c", "1", "-W", "1", "-M", "do", "-s", "2000", "10.0.1.13"];
    await assert.rejects(inNamespace(namespace, long));
    assert.ok((await bridged(host("h1"))) > before, "the bridge has dropped it");
    assert.equal(await sent(host("h1")), sentBefore);
    await setMTU("1450");
  });

  it("what a host takes to be another's never goes back into the tunnel", async () => {
    const wrong = ["dev", tunnelName(ONE), "dst", host("h1").address, "self", "permanent"];
    await host("h2").run("bridge", "fdb", "replace", macOf("10.0.1.14"), ...wrong);
    const before = await sent(host("h1"));
    assert.equal(await pings(overlays.place("c2"), "10.0.1.14"), false);
    assert.equal(await sent(host("h1")), before);
    await host("h2").audit();
    assert.ok(await pings(overlays.place("c2"), "10.0.1.14"));
  });

  it("large packets fit: the tunnel and its links have room for the overhead", async () => {
    const bytes = 1_000_000;
    const echo = { call: "echo", protocol: "tcp", address: "10.0.1.13", port: 80, bytes } as const;
    assert.equal(await overlays.place("a1").call(echo), bytes);
    const fits = ["ping", "-c", "1", "-W", "2", "-M", "do", "-s", "1422", "10.0.1.13"];
    await inNamespace(overlays.place("a1").namespace, fits);
    assert.match(await host("h1").run("ip", "link", "show", tunnelName(ONE)), /mtu 1450 /);
    overlays.networks.set(TWO, { ...must(overlays.networks.get(TWO)), mtu: 1300 });
    await overlays.apply();
    assert.match(await host("h1").run("ip", "link", "show", tunnelName(TWO)), /mtu 1300 /);
  });

  for (const protocol of ["tcp", "udp"] as const) {
    it(`a virtual IP leads to all live endpoints over ${protocol}, its own task's too`, async () => {
      for (const from of ["b1", "a1", "c2"]) {
        const met = new Set<string>();
        for (let asked = 0; asked < ASKED; asked++) met.add(await ask(from, VIP, { protocol }));
        const seenAs = TASKS.find(({ name }) => name === from)?.addresses[0];
        assert.deepEqual(
          [...met].sort(),
          ["a1", "c2", "d3"].map((name) => `${name} ${seenAs}`),
        );
      }
    });
  }

  it("any protocol is led: a virtual IP answers a ping", async () => {
    assert.ok(await pings(overlays.place("b1"), VIP));
  });

  it("a virtual IP is its own network's", async () => {
    assert.doesNotMatch(await ask("x1", VIP, { deadlineMs: 500 }), /10\.0\.1/);
  });

  it("without a live endpoint it refuses at once", async () => {
    for (const protocol of ["tcp", "udp"] as const) {
      assert.equal(await ask("b1", EMPTY_VIP, { protocol }), "ECONNREFUSED");
    }
  });

  it("what was asked of a virtual IP before it led anywhere is led once it does", async () => {
    const from = 5_300;
    assert.equal(
      await ask("b1", "10.0.1.5", { protocol: "udp", from, deadlineMs: 200 }),
      "no answer",
    );
    overlays.serve(ONE, ["10.0.1.5"], "c2");
    await overlays.apply();
    assert.equal(await ask("b1", "10.0.1.5", { protocol: "udp", from }), "c2 10.0.1.12");
  });

  it("a draining endpoint keeps its connections and gets none; one that is gone resets them", async () => {
    const client = overlays.place("b1");
    const udp = { protocol: "udp", from: 5_301 } as const;
    overlays.serve(ONE, [MOVING_VIP], "e2");
    await overlays.apply();
    const kept = {
      call: "open",
      name: "kept",
      protocol: "tcp",
      address: MOVING_VIP,
      port: 80,
      deadlineMs: 60_000,
    } as const;
    assert.match(String(await client.call(kept)), /^e2 /);
    assert.equal(await ask("b1", MOVING_VIP, udp), "e2 10.0.1.12");

    overlays.serve(ONE, [MOVING_VIP], "e2:draining", "f3");
    await overlays.apply();
    assert.equal(await ask("b1", MOVING_VIP, udp), "f3 10.0.1.12", "a flow is balanced afresh");
    for (let asked = 0; asked < 10; asked++) {
      assert.equal(await ask("b1", MOVING_VIP), "f3 10.0.1.12");
    }
    assert.match(String(await client.call({ call: "say", name: "kept" })), /^e2 /);

    const ended = client.call({ call: "ended", name: "kept" });
    overlays.serve(ONE, [MOVING_VIP], "f3");
    await overlays.apply();
    assert.equal(await ended, "ECONNRESET");
  });

  for (const [family, virtualIP, port] of [
    ["IPv4", MOVING_VIP, 5_302],
    ["IPv6", MOVING_VIP6, 5_303],
  ] as const) {
    it(`a client that only waits is told when its endpoint is gone, over ${family}`, async () => {
      overlays.serve(ONE, [MOVING_VIP, MOVING_VIP6], "e2");
      await overlays.apply();
      const client = overlays.place("b1");
      const idle = {
        name: `idle ${family}`,
        protocol: "tcp",
        address: virtualIP,
        port: 80,
      } as const;
      assert.match(
        String(await client.call({ call: "open", ...idle, deadlineMs: 60_000 })),
        /^e2 /,
      );
      overlays.serve(ONE, [MOVING_VIP, MOVING_VIP6], "f3");
      const ended = client.call({ call: "ended", name: idle.name });
      await overlays.apply();
      assert.equal(await ended, "ECONNRESET");
    });

    it(`a flow of ${family} datagrams is moved at once, and what its old task still answers comes from the virtual IP`, async () => {
      await overlays.place("e2").call({ call: "serveHeld", name: "e2", port });
      await overlays.place("f3").call({ call: "serve", name: "f3", port });
      overlays.serve(ONE, [MOVING_VIP, MOVING_VIP6], "e2");
      await overlays.apply();
      const client = overlays.place("b1");
      const held = `held ${family}`;
      const asked = client.call({
        ...{ call: "askTwice", name: held, protocol: "udp" },
        ...{ address: virtualIP, port, deadlineMs: 10_000 },
      });
      const listing = ["conntrack", "-L", "-f", family.toLowerCase(), "-p", "udp"];
      const ofPort = [...listing, "--orig-port-dst", `${port}`];
      const led = async () =>
        /=(10\.0\.1\.15|fd00:1::15) /.test(await inNamespace(client.namespace, ofPort));
      await until(led, { what: "the datagram to be led" });
      overlays.serve(ONE, [MOVING_VIP, MOVING_VIP6], "e2:draining", "f3");
      await overlays.apply();
      await client.call({ call: "sayAgain", name: held });
      await overlays.place("e2").call({ call: "answerHeld", datagrams: 1 });
      const own = family === "IPv4" ? "10.0.1.12" : "fd00:1::12";
      assert.deepEqual(((await asked) as string[]).toSorted(), ["e2 late", `f3 ${own}`]);
    });
  }

  it("a task that does not listen yet is a delay, and one that never does is refused", async () => {
    overlays.serve(ONE, [MOVING_VIP], "e2");
    await overlays.apply();
    const server = overlays.place("e2");
    const before = await resetsSent(server);
    const asked = ask("b1", MOVING_VIP, { port: 99, deadlineMs: 20_000 });
    const refused = async () => (await resetsSent(server)) > before;
    await until(refused, { what: "the first refusal" });
    await server.call({ call: "serve", name: "e2", port: 99 });
    assert.equal(await asked, "e2 10.0.1.12");
    assert.equal(await ask("b1", MOVING_VIP, { port: 98, deadlineMs: 20_000 }), "ECONNREFUSED");
  });

  it("no request is lost while endpoints come, drain and go", async () => {
    const client = overlays.place("b1");
    overlays.serve(ONE, [MOVING_VIP], "a1");
    await overlays.apply();
    await client.call({
      call: "load",
      protocol: "tcp",
      address: MOVING_VIP,
      port: 80,
      deadlineMs: 20_000,
    });
    for (let round = 0; round < 5; round++) {
      for (const tasks of [["a1", "c2"], ["a1", "c2", "d3"], ["a1", "d3"], ["a1"]]) {
        overlays.serve(ONE, [MOVING_VIP], ...tasks);
        await overlays.apply();
      }
    }
    const { answered, failures } = (await client.call({ call: "endLoad" })) as {
      answered: number;
      failures: string[];
    };
    assert.deepEqual(failures, []);
    assert.ok(answered > 20, `${answered}`);
  });

  it("a container's namespace is entered in process and by nsenter alike, and the host's is left alone", async () => {
    const path = `/run/netns/${overlays.place("a1").namespace}`;
    const entrance = sandboxEntrance(runTool, systemClock);
    const table = "inet entered";
    // Longer than what is done in process.
    const long = `${"# nothing\n".repeat(5_000)}add chain ${table} long\n`;
    for (const isLarge of [false, true]) {
      const nft = entrance.nft(path, isLarge);
      await nft.run(`add table ${table}\nadd chain ${table} short\n`);
      await nft.run(long);
      const listing = JSON.stringify(await nft.list(`table ${table}`));
      assert.match(listing, /"short".*"long"/);
      assert.equal(await spawnedNft(runTool).list(`table ${table}`), undefined);
      await assert.rejects(nft.run(`add rule ${table} none accept\n`), NftError);
      await nft.run(`delete table ${table}\n`);
      assert.equal(await nft.list(`table ${table}`), undefined);
      await nft.close();
    }
    await assert.rejects(entrance.nft("/run/netns/nobodys", false).run(`add table ${table}\n`));
  });

  it("a second apply, and a daemon that is started again, find nothing to do", async () => {
    await overlays.apply();
    assert.deepEqual(await overlays.apply(), [0, 0, 0]);
    for (const one of lab.hosts) await one.killDaemon();
    // From here on what is damaged on this host is mended by the tool, and no longer by the library.
    host("h1").startDaemon("spawn");
    assert.match(await ask("b1", VIP), / 10\.0\.1\.12$/, "nobody is needed for packets to pass");
    const before = await host("h1").fingerprint();
    assert.deepEqual(await overlays.apply(), [0, 0, 0]);
    assert.equal(await host("h1").fingerprint(), before);
  });

  it("a container that is made anew while no daemon is there is reached, and by the fast way once one is", async () => {
    const place = { host: "h2", vni: ONE, addresses: ["10.0.1.17", "fd00:1::17"] } as const;
    await overlays.start({ name: "g2", ...place });
    await overlays.apply();
    assert.equal(await ask("a1", "10.0.1.17"), "g2 10.0.1.11");
    await host("h2").killDaemon();
    await overlays.end("g2");
    await overlays.start({ name: "i2", ...place });
    assert.equal(await ask("a1", "10.0.1.17"), "i2 10.0.1.11");
    await overlays.apply();
    const before = await bridged(host("h2"));
    assert.equal(await ask("a1", "10.0.1.17"), "i2 10.0.1.11");
    assert.equal(await ask("e2", "10.0.1.17"), "i2 10.0.1.15");
    assert.equal(await bridged(host("h2")), before);
  });

  for (const [what, damage] of DAMAGES) {
    it(`heals ${what}`, async () => {
      await overlays.apply();
      await host("h1").run(...damage.split(" "));
      const said = await host("h1").audit();
      assert.notDeepEqual(said, []);
      assert.deepEqual(await host("h1").audit(), [], said.join("; "));
      const before = await bridged(host("h1"));
      assert.equal(await ask("a1", "10.0.1.12"), "b1 10.0.1.11");
      assert.equal(await ask("a1", "10.0.1.13"), "c2 10.0.1.11");
      assert.equal(await bridged(host("h1")), before, "all of it the fast way");
      assert.ok(await pings(overlays.place("a1"), "fd00:1::13"));
    });
  }

  it("a node that leaves a network, or Weft, keeps nothing of it", async () => {
    const three = host("h3");
    const view = overlays.view(three);
    const networks = view.networks.filter(({ vni }) => vni !== TWO);
    await three.run("ip", "link", "delete", linkOf({ name: "z3" }));
    const overlayLinks = view.overlayLinks.filter(({ vni }) => vni !== TWO);
    await three.apply({ ...view, networks, overlayLinks });
    const left = await three.run("ip", "-o", "link", "show");
    assert.doesNotMatch(left, new RegExp(`${bridgeName(TWO)}|${tunnelName(TWO)}`));
    assert.match(left, new RegExp(bridgeName(ONE)));
    const ways = await three.run("nft", "list", "table", "netdev", "weft_overlay");
    assert.match(ways, new RegExp(`at_${bridgeName(ONE)}`));
    assert.doesNotMatch(ways, new RegExp(`at_${bridgeName(TWO)}`));

    await three.reset();
    assert.doesNotMatch(await three.run("ip", "-o", "link", "show"), /\bw[box][0-9a-f]{6}/);
    assert.doesNotMatch(await three.run("nft", "list", "tables"), /weft/);
    assert.doesNotMatch(await three.run("iptables", "-S"), /weft/);
    assert.doesNotMatch(await three.run("ip6tables", "-S"), /weft/);
  });
});

async function pings(from: Place, address: string): Promise<boolean> {
  const ping = ["ping", "-c", "1", "-W", "1", address];
  return await inNamespace(from.namespace, ping).then(
    () => true,
    () => false,
  );
}

/** How many packets to tasks the hooks of this host's bridges have seen. */
async function bridged(host: Host): Promise<number> {
  const listed = await host.run("nft", "list", "table", "ip", "bridged");
  return Number(/packets (\d+)/.exec(listed)?.[1]);
}

/** How many tunnel packets this host has sent. */
async function sent(host: Host): Promise<number> {
  const listed = await host.run("nft", "list", "table", "ip", "probe");
  return Number(/packets (\d+)/.exec(listed)?.[1]);
}

function must<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("not there");
  return value;
}
