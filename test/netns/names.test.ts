/**
 * Names in a container's own namespace: the keeper's sockets there take the place of the Engine's resolver, for which
 * dnsmasq stands at 127.0.0.11, and hand on to it what is not the cluster's.
 */
import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setImmediate } from "node:timers/promises";
import { promisify } from "node:util";
import { decode, encode } from "dns-packet";
import { systemClock } from "../../src/base/clock.ts";
import { silentLogger } from "../../src/base/logger.ts";
import { systemRandom } from "../../src/base/random.ts";
import { ContainerNamespace } from "../../src/keeper/dns/container-namespace.ts";
import { PENDING_MAX } from "../../src/keeper/dns/engine-upstream.ts";
import { NameStore } from "../../src/keeper/dns/name-store.ts";
import { networkSetID } from "../../src/keeper/dns/names.ts";
import { Sandboxes } from "../../src/keeper/dns/sandboxes.ts";
import { EMPTY_STATE, type KeeperState } from "../../src/keeper/state.ts";
import { until } from "../../src/lab/until.ts";
import { whyNot } from "./datapath/lab.ts";

const run = promisify(execFile);
const PREFIX = `weft-names-${process.pid}`;
const NAMESPACES = ["a", "b"].map((name) => `${PREFIX}-${name}`);
const [A = "", B = ""] = NAMESPACES;
/** Of one name, more than fit into a plain datagram. */
const LONG_RECORDS = 6;
/** More than may wait, even if some are lost on the way. */
const ASKED_MAX = 4 * PENDING_MAX;

const pathOf = (namespace: string) => `/run/netns/${namespace}`;

/** A state in which these containers are in these networks. */
function stateOf(members: readonly (readonly [namespace: string, vni: number])[]): KeeperState {
  const endpoints = members.map(([namespace, vni], at) => ({
    ...{ networkID: `engine-${vni}`, endpointID: `e${at}`, address: "10.0.1.5", link: `wo${at}` },
    ...({ vni, sandboxKey: pathOf(namespace), state: "joined", gateway: false } as const),
  }));
  return { ...EMPTY_STATE, endpoints: new Map(endpoints.map((one) => [one.endpointID, one])) };
}

describe("a container asks its resolver", { skip: whyNot() }, () => {
  let directory: string;
  let names: NameStore;
  let sandboxes: Sandboxes;
  const engines: ChildProcess[] = [];

  const open = () =>
    new Sandboxes({ names, clock: systemClock, random: systemRandom, log: silentLogger });

  /** What dig prints; one try, so that an answer that is not there is seen as such. */
  async function dig(namespace: string, ...question: readonly string[]): Promise<string> {
    const options = ["@127.0.0.11", "+tries=1", "+time=3"];
    const args = ["netns", "exec", namespace, "dig", ...options, ...question];
    return (await run("ip", args).catch((error: { stdout?: string }) => error)).stdout ?? "";
  }
  const short = async (namespace: string, ...question: readonly string[]) =>
    (await dig(namespace, "+short", ...question)).trim().split("\n");

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "weft-names-"));
    names = new NameStore({ clock: systemClock, log: silentLogger }, directory);
    for (const [vni, address] of [
      [4097, "10.0.1.2"],
      [4098, "10.0.1.3"],
    ] as const) {
      const entries = [
        { names: ["web"], addresses: [address], reverse: "web" },
        {
          names: ["tasks.web"],
          addresses: Array.from({ length: 80 }, (_, at) => `10.0.1.${at + 9}`),
        },
      ];
      const frame = { suffix: `net${vni}`, subnets: ["10.0.1.0/24"] };
      const put = [{ id: "web", entries }];
      names.change({ ...frame, set: networkSetID(vni), revision: "1", put, remove: [] });
    }
    for (const namespace of NAMESPACES) {
      await run("ip", ["netns", "add", namespace]);
      await run("ip", ["-n", namespace, "link", "set", "lo", "up"]);
      const records = [
        "--address=/example.com/9.9.9.9",
        "--address=/web/8.8.8.8",
        ...Array.from({ length: LONG_RECORDS }, () => `--txt-record=long.test,${"x".repeat(200)}`),
      ];
      const options = [
        "--no-resolv",
        "--no-hosts",
        "--bind-interfaces",
        "--pid-file=",
        "--user=root",
      ];
      const where = [
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--listen-address=127.0.0.11",
      ];
      const command = ["netns", "exec", namespace, "dnsmasq", ...where, ...options, ...records];
      engines.push(spawn("ip", command, { stdio: "ignore" }));
      await until(async () => (await short(namespace, "web"))[0] === "8.8.8.8", {
        what: "the Engine's resolver to answer",
      });
    }
    sandboxes = open();
    await sandboxes.follow(
      stateOf([
        [A, 4097],
        [B, 4098],
      ]),
    );
  });

  after(async () => {
    await sandboxes.stop({ handedOver: false });
    for (const engine of engines) engine.kill();
    for (const namespace of NAMESPACES) await run("ip", ["netns", "del", namespace]);
    await names.flush();
    await rm(directory, { recursive: true });
  });

  it("and is told of its own networks, though another has the same name and subnet", async () => {
    assert.deepEqual(await short(A, "web"), ["10.0.1.2"]);
    assert.deepEqual(await short(B, "web"), ["10.0.1.3"]);
    assert.deepEqual(await short(A, "web.net4097"), ["10.0.1.2"]);
    assert.deepEqual(await short(A, "-x", "10.0.1.2"), ["web.net4097."]);
    assert.match(await dig(A, "web.net4098"), /status: (REFUSED|NXDOMAIN)/);
    assert.match(await dig(A, "-x", "10.0.1.3"), /status: NXDOMAIN/);
  });

  it("for anything else the Engine's resolver answers, by UDP and TCP", async () => {
    for (const by of ["+notcp", "+tcp"])
      assert.deepEqual(await short(A, by, "example.com"), ["9.9.9.9"]);
  });

  it("an answer of others that does not fit is said to be cut, and comes whole by TCP", async () => {
    const question = ["+noedns", "long.test", "TXT"];
    assert.match(await dig(A, "+ignore", ...question), /flags: [a-z ]*tc/);
    assert.equal((await short(A, ...question)).length, LONG_RECORDS);
  });

  it("a list that does not fit comes whole by TCP", async () => {
    assert.match(await dig(A, "+noedns", "+ignore", "tasks.web"), /flags: [a-z ]*tc/);
    assert.equal((await short(A, "+noedns", "tasks.web")).length, 80);
  });

  it("and port 53 is its own programs' to take", async () => {
    const { stdout } = await run("ip", ["netns", "exec", A, "ss", "-lnutH"]);
    const ports = stdout
      .trim()
      .split("\n")
      .map((line) => line.split(/\s+/)[4]);
    const ours = ports.filter((place) => /^127\.0\.0\.11:2\d{4}$/.test(place ?? ""));
    assert.equal(ours.length, 2, stdout);
  });

  it("names of the cluster do not wait for an upstream that is silent, however many others do", async () => {
    engines[1]?.kill("SIGSTOP");
    const socket = await clientIn(B);
    let refused = 0;
    let answered = 0;
    socket.on("message", (message) => {
      if ((decode(message) as { rcode?: string }).rcode === "SERVFAIL") refused += 1;
      else answered += 1;
    });
    try {
      for (let id = 0; refused === 0 && id < ASKED_MAX; id++) {
        const name = `slow${id}.example.com`;
        const questions = [{ type: "A" as const, name, class: "IN" as const }];
        socket.send(encode({ type: "query", id, questions }), 53, "127.0.0.11");
        // The sockets are this process's own: they are read in the next turn.
        await setImmediate();
      }
      // All that may wait do, when one more is refused.
      assert.ok(refused > 0);
      assert.deepEqual(await short(B, "web"), ["10.0.1.3"]);
      assert.deepEqual(await short(B, "+tcp", "web"), ["10.0.1.3"]);
      assert.equal(answered, 0, "the slow ones still wait");
    } finally {
      engines[1]?.kill("SIGCONT");
      socket.close();
    }
    const isBack = async () => (await short(B, "example.com"))[0] === "9.9.9.9";
    await until(isBack, { what: "the Engine's resolver to answer again" });
  });

  it("a client that keeps its socket is answered by a keeper that comes after one that was killed", async () => {
    const socket = await clientIn(A);
    assert.equal(await askedBy(socket), "10.0.1.2");
    const killed = sandboxes;
    // As a killed one leaves it: the way leads to sockets that are gone.
    await killed.stop({ handedOver: true });
    sandboxes = open();
    await sandboxes.follow(
      stateOf([
        [A, 4097],
        [B, 4098],
      ]),
    );
    assert.equal(await askedBy(socket), "10.0.1.2");
    socket.close();
  });

  it("at a handover both answer for a moment, and nothing is lost", async () => {
    const next = open();
    await next.follow(
      stateOf([
        [A, 4097],
        [B, 4098],
      ]),
    );
    await sandboxes.stop({ handedOver: true });
    sandboxes = next;
    for (let at = 0; at < 20; at++) assert.deepEqual(await short(A, "web"), ["10.0.1.2"]);
  });

  it("one that leaves its last network is the Engine's again", async () => {
    await sandboxes.follow(
      stateOf([
        [B, 4098],
        [B, 4097],
      ]),
    );
    assert.deepEqual(await short(A, "web"), ["8.8.8.8"]);
    assert.deepEqual(await short(B, "web.net4097"), ["10.0.1.2"], "now in two");
  });
});

/** A socket that was made in the namespace, as a program there would. */
async function clientIn(namespace: string): Promise<Socket> {
  const sockets = await ContainerNamespace.at(pathOf(namespace));
  const socket = createSocket("udp4");
  const listening = once(socket, "listening");
  socket.bind({ fd: sockets.datagrams("127.0.0.1") });
  await listening;
  return socket;
}

/** Asked again, as resolvers do: the answer that was under way when a keeper was killed is lost. */
async function askedBy(socket: Socket): Promise<unknown> {
  const questions = [{ type: "A" as const, name: "web", class: "IN" as const }];
  const query = encode({ type: "query", id: 77, questions });
  let data: unknown;
  socket.once("message", (message) => {
    const [answer] = decode(message).answers ?? [];
    data = answer?.type === "A" ? answer.data : answer;
  });
  await until(
    async () => {
      if (data === undefined) socket.send(query, 53, "127.0.0.11");
      return data !== undefined;
    },
    { what: "an answer on a kept socket" },
  );
  return data;
}
