/** How long the kernel remembers connections, and what a client meets whose task has just ended. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { until } from "../../src/lab/until.ts";
import { answerWithBytes, askForBytes, FRAGMENTS } from "./datapath/datagrams.ts";
import { CLIENT, inNamespace, Lab, lan6, type Place, resetsSent, whyNot } from "./datapath/lab.ts";
import { Mesh } from "./datapath/mesh.ts";

const H1 = "192.168.99.100";
const TASKS = [
  { name: "a1", host: "h1", address: "10.255.0.10" },
  { name: "b2", host: "h2", address: "10.255.0.11" },
  { name: "c3", host: "h3", address: "10.255.0.12" },
] as const;
const LOCAL = 8080;
const REMOTE = 8081;
const MOVING = 8082;
const STOPPING = 8097;
const DEAF = 8083;
const DOOMED = 8085;
const HELD = 8086;
const HELD_PORT = 82;
const BIG = 5300;
/** What a server answers whose kernel told it EMSGSIZE. */
const TOO_LONG = "!90";
const H3 = "192.168.99.102";
/** Where no task listens. */
const CLOSED_PORT = 99;
const LATE_PORT = 81;
const HOUR_S = 3_600;
const DAY_S = 24 * HOUR_S;
/** A SYN is sent again after this. */
const RETRANSMIT_MS = 1_000;

describe("a connection through the mesh", { skip: whyNot() }, () => {
  let lab: Lab;
  let mesh: Mesh;
  let client: Place;

  before(async () => {
    lab = await Lab.make();
    mesh = new Mesh(lab, TASKS);
    client = await lab.client("client", CLIENT);
    await mesh.startTasks();
    for (const task of ["a1", "b2"]) {
      await mesh.place(task).call({ call: "serveLate", port: LATE_PORT });
      await mesh.place(task).call({ call: "serveHeld", name: task, port: HELD_PORT });
    }
    // A host that forgets everything at once must not forget the mesh's connections.
    for (const host of lab.hosts) {
      for (const state of ["established", "close_wait"]) {
        await host.run("sysctl", "-qw", `net.netfilter.nf_conntrack_tcp_timeout_${state}=1`);
      }
    }
    mesh.publish(LOCAL, ["a1"]);
    mesh.publish(REMOTE, ["b2"]);
    await mesh.apply();
  });
  after(async () => await lab[Symbol.asyncDispose]());

  for (const [name, port, hosts] of [
    ["a local task", LOCAL, ["h1"]],
    ["a remote task", REMOTE, ["h1", "h2"]],
  ] as const) {
    it(`to ${name} may be idle for days`, async () => {
      await client.call({ call: "open", name, protocol: "tcp", address: H1, port });
      for (const host of hosts) await ofAge(host, "ESTABLISHED", 4 * DAY_S);
    });

    it(`to ${name} may be half closed for long`, async () => {
      repoint(port, LATE_PORT);
      await mesh.apply();
      const answer = client.call({ call: "halfClose", protocol: "tcp", address: H1, port });
      for (const host of hosts) await ofAge(host, "CLOSE_WAIT", HOUR_S - 60);
      await mesh.place(port === LOCAL ? "a1" : "b2").call({ call: "answerLate" });
      assert.equal(await answer, "late");
    });
  }

  it("that its task refuses for a moment is led to another when the task goes", async () => {
    mesh.publish(MOVING, ["c3"]);
    repoint(MOVING, CLOSED_PORT);
    await mesh.apply();
    const ask = { protocol: "tcp", address: H1, port: MOVING, deadlineMs: 10_000 } as const;
    const answer = client.ask(ask);
    const state = () =>
      lab.host("h1").run("conntrack", "-L", "-p", "tcp", "--orig-port-dst", `${MOVING}`);
    await until(async () => (await state()).includes("SYN_SENT"), { what: "the first SYN" });
    mesh.publish(MOVING, ["a1"]);
    await mesh.apply();
    assert.equal(await answer, `a1 ${CLIENT}`);
  });

  it("that a draining task refuses again is led to another when the task is gone", async () => {
    mesh.publish(STOPPING, ["c3"]);
    repoint(STOPPING, CLOSED_PORT);
    await mesh.apply();
    const ask = { protocol: "tcp", address: H1, port: STOPPING, deadlineMs: 20_000 } as const;
    const before = await resetsSent(mesh.place("c3"));
    const refusals = async () => (await resetsSent(mesh.place("c3"))) - before;
    const answer = client.ask(ask);
    await until(async () => (await refusals()) > 0, { what: "the first refusal" });
    mesh.publish(STOPPING, ["c3:draining"]);
    repoint(STOPPING, CLOSED_PORT);
    await mesh.apply();
    await until(async () => (await refusals()) > 1, { what: "the second refusal" });
    mesh.publish(STOPPING, ["a1"]);
    await mesh.apply();
    assert.equal(await answer, `a1 ${CLIENT}`);
  });

  it("that its task goes on refusing is refused, a moment later", async () => {
    for (const [task, port] of [
      ["a1", DEAF],
      ["b2", DEAF + 1],
    ] as const) {
      mesh.publish(port, [task]);
      repoint(port, CLOSED_PORT);
      await mesh.apply();
      const startedAt = performance.now();
      const ask = { protocol: "tcp", address: H1, port, deadlineMs: 10_000 } as const;
      assert.equal(await client.ask(ask), "ECONNREFUSED");
      const tookMs = performance.now() - startedAt;
      assert(tookMs > RETRANSMIT_MS * 0.9 && tookMs < RETRANSMIT_MS * 3, `after ${tookMs} ms`);
    }
  });

  for (const [where, from, to, family] of [
    ["a local task to a remote one", "a1", "b2", "IPv4"],
    ["a remote task to a local one", "b2", "a1", "IPv4"],
    ["a local task to a remote one", "a1", "b2", "IPv6"],
    ["a remote task to a local one", "b2", "a1", "IPv6"],
  ] as const) {
    it(`of datagrams is moved from ${where} at once, and what its old task still answers arrives (${family})`, async () => {
      const port = (from === "a1" ? HELD : HELD + 1) + (family === "IPv6" ? 2 : 0);
      const on = (address: string) => (family === "IPv6" ? lan6(address) : address);
      mesh.publish(port, [from]);
      repoint(port, HELD_PORT);
      await mesh.apply();
      const askers = [
        { place: client, seen: on(CLIENT) },
        { place: lab.host("h1").place, seen: on(H1) },
        { place: lab.host("h3").place, seen: on(H3) },
      ];
      const deadlineMs = 10_000;
      const asked = askers.map(({ place }) =>
        place.call({
          call: "askTwice",
          name: "held",
          protocol: "udp",
          address: on(H1),
          port,
          deadlineMs,
        }),
      );
      // The old task has the first datagrams, and keeps its answers.
      await until(async () => (await heldFlows(port, family)) === askers.length, {
        what: "the datagrams to be led",
      });
      mesh.publish(port, [`${from}:draining`, to]);
      await mesh.apply();
      for (const { place } of askers) await place.call({ call: "sayAgain", name: "held" });
      const first = Promise.race(asked.map((answers) => answers.then(() => "both answers")));
      await mesh.place(from).call({ call: "answerHeld", datagrams: askers.length });
      await first;
      for (const [index, answers] of asked.entries()) {
        const expected = [`${from} late`, `${to} ${askers[index]?.seen}`];
        assert.deepEqual(((await answers) as string[]).sort(), expected.sort());
      }
    });
  }

  it("to a host that died is reset as soon as that is known, though nothing is said on it", async () => {
    mesh.publish(DOOMED, ["c3"]);
    await mesh.apply();
    const entry = lab.host("h1");
    const clients = [
      { place: client, address: H1 },
      { place: client, address: lan6(H1) },
      { place: entry.place, address: H1 },
      { place: entry.place, address: lan6(H1) },
      { place: entry.place, address: "127.0.0.1" },
      { place: lab.host("h2").place, address: H1 },
      { place: lab.host("h2").place, address: lan6(H1) },
    ];
    const ends = await Promise.all(
      clients.map(async ({ place, address }, index) => {
        const name = `doomed ${index}`;
        await place.call({ call: "open", name, protocol: "tcp", address, port: DOOMED });
        return { address, ended: place.call({ call: "ended", name }) };
      }),
    );
    await lab.host("h3").run("ip", "link", "set", "eth0", "down");
    mesh.publish(DOOMED, []);
    await mesh.apply();
    for (const { address, ended } of ends) assert.equal(await ended, "ECONNRESET", address);
  });

  describe("with an uplink of 1,400 bytes", () => {
    before(async () => {
      const lan = client.namespace.replace(/client$/, "lan");
      await inNamespace(lan, ["ip", "link", "set", "p200", "mtu", "1400"]);
      await inNamespace(client.namespace, ["ip", "link", "set", "eth0", "mtu", "1400"]);
      for (const host of lab.hosts) {
        await host.run("ip", "link", "set", "eth0", "mtu", "1400", "up");
        await host.audit();
        assert.match(await host.run("ip", "link", "show", "weft0"), /mtu 1350/);
      }
    });

    for (const [fragments, told] of [
      ["anywhere", []],
      ["here", []],
      ["never", [1_372, 1_400, 3_000]],
    ] as const) {
      it(`gets big datagrams through that may be cut ${fragments}, or tells who sends them`, async () => {
        const port = BIG + FRAGMENTS[fragments];
        mesh.publish(port, ["b2"]);
        repoint(port, port);
        await mesh.apply();
        await using _ = await answerWithBytes(mesh.place("b2").namespace, port, fragments);
        for (const bytes of [1_322, 1_372, 1_400, 3_000]) {
          const wanted = told.some((one) => one === bytes) ? TOO_LONG : `${bytes}`;
          const ask = { address: H1, port, fragments };
          const answer = { ...ask, answerBytes: bytes, bytes: 10 };
          assert.equal(await askForBytes(client.namespace, answer), wanted, `${bytes} back`);
          const question = { ...ask, answerBytes: 1, bytes };
          const got = await askForBytes(client.namespace, question);
          assert.equal(got, wanted === TOO_LONG ? TOO_LONG : "1", `${bytes} to it`);
        }
      });
    }
  });

  async function heldFlows(port: number, family: string): Promise<number> {
    const of = ["-f", family.toLowerCase(), "-p", "udp"];
    const flows = ["conntrack", "-L", ...of, "--orig-port-dst", `${port}`];
    return (await lab.host("h1").run(...flows)).split("\n").filter(Boolean).length;
  }

  it("is audited without finding what packets have put into the sets", async () => {
    for (const host of lab.hosts) assert.deepEqual(await host.audit(), []);
  });

  function repoint(publishedPort: number, targetPort: number): void {
    const service = mesh.services.get(publishedPort);
    assert(service !== undefined);
    const ports = service.ports.map((port) => ({ ...port, targetPort }));
    const ipv6Ports = [`tcp/${targetPort}`, `udp/${targetPort}`];
    const endpoints = service.endpoints.map((endpoint) => ({ ...endpoint, ipv6Ports }));
    mesh.services.set(publishedPort, { ...service, ports, endpoints });
  }

  /** Waits until all of the client's connections in this state may live for at least so long. */
  async function ofAge(host: "h1" | "h2" | "h3", state: string, secondsMin: number): Promise<void> {
    const list = ["conntrack", "-L", "-p", "tcp", "--state", state, "-s", CLIENT];
    const look = async () => {
      const lines = (await lab.host(host).run(...list)).split("\n").filter(Boolean);
      const seconds = lines.map((line) => Number(line.trim().split(/\s+/)[2]));
      if (seconds.length === 0 || Math.min(...seconds) < secondsMin)
        throw new Error(lines.join("\n"));
      return true;
    };
    await until(look, { what: `${state} connections of ${host} to live for ${secondsMin} s` });
  }
});
