import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { systemClock } from "../base/clock.ts";
import { createLogger, silentLogger } from "../base/logger.ts";
import { seededRandom } from "../base/random.ts";
import { GossipNode, type GossipNodeInit } from "./gossip-node.ts";
import { Keyring } from "./keyring.ts";
import { TIMINGS } from "./timings.ts";
import type { Transport } from "./transport.ts";
import { MemoryNetwork } from "./transport-memory.ts";
import { SocketTransport } from "./transport-socket.ts";

const key = (letter: string) => Buffer.alloc(16, letter);

class Cluster {
  readonly nodes: GossipNode[] = [];
  readonly #make: () => Transport;
  readonly lines: string[] = [];
  constructor(make: () => Transport) {
    this.#make = make;
  }
  async add(node: string, init: Partial<GossipNodeInit> = {}): Promise<GossipNode> {
    const components = {
      transport: this.#make(),
      clock: systemClock,
      random: seededRandom(this.nodes.length),
      log: createLogger({ write: (line) => void this.lines.push(line) }),
    };
    const member = new GossipNode(components, { node, timings: TIMINGS.local, ...init });
    await member.start();
    this.nodes.push(member);
    return member;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    for (const node of this.nodes) await node.stop();
  }
}

/** Resolves once `observer` holds `node` for `state`; told by its own news, not by looking again. */
async function until(observer: GossipNode, node: string, state: string): Promise<void> {
  const signal = AbortSignal.timeout(20_000);
  while (observer.member(node)?.state !== state) await once(observer, "change", { signal });
}

const memory = () => {
  const network = new MemoryNetwork();
  let next = 1;
  return () => network.transport({ host: `10.0.0.${next++}`, port: 7_946 });
};
const sockets = () => () => new SocketTransport({ host: "127.0.0.1", port: 0 });

for (const [name, transports] of Object.entries({ memory, sockets })) {
  for (const sealed of [false, true]) {
    const ring = () => (sealed ? { keyring: new Keyring(key("a")) } : {});
    test(`three over ${name}, ${sealed ? "sealed" : "plain"}: join, news, crash, return, leave`, async () => {
      await using cluster = new Cluster(transports());
      const heard: string[] = [];
      const application = {
        onNews: (payload: Buffer) => void heard.push(payload.toString()),
        state: () => Buffer.from("everything"),
        onState: (state: Buffer) => void heard.push(state.toString()),
      };
      const n1 = await cluster.add("n1", { ...ring(), application });
      const n2 = await cluster.add("n2", { ...ring(), meta: Buffer.from("role=worker") });
      const n3 = await cluster.add("n3", ring());
      n2.join([n1.address]);
      n3.join([n1.address]);
      await Promise.all([until(n1, "n2", "alive"), until(n2, "n3", "alive")]);
      await until(n3, "n2", "alive");
      assert.equal(n3.member("n2")?.meta.toString(), "role=worker");

      n2.broadcast("greeting", Buffer.from("hello"));
      n2.describe(Buffer.from("role=manager"));
      const signal = AbortSignal.timeout(20_000);
      while (n3.member("n2")?.meta.toString() !== "role=manager") {
        await once(n3, "change", { signal });
      }
      assert.ok(n1.members().length === 3);

      await n3.stop();
      await Promise.all([until(n1, "n3", "dead"), until(n2, "n3", "dead")]);
      const again = await cluster.add("n3", ring());
      again.join([n1.address]);
      await until(n2, "n3", "alive");
      await n2.leave();
      await until(n1, "n2", "left");
      assert.ok(heard.includes("hello"));
      assert.equal(n1.counters.undecodable + n1.counters.unsealed, 0);
    });
  }
}

test("a node with another key is not heard, and that is counted and said once", async () => {
  await using cluster = new Cluster(memory());
  const n1 = await cluster.add("n1", { keyring: new Keyring(key("a")) });
  const stranger = await cluster.add("n2", { keyring: new Keyring(key("b")) });
  const refused = new Promise<void>((resolve) => {
    const check = () => (n1.counters.unsealed >= 5 ? resolve() : setImmediate(check));
    check();
  });
  for (let each = 0; each < 5; each++) stranger.join([n1.address]);
  await refused;
  assert.equal(n1.members().length, 1);
  const lines = cluster.lines.filter((line) => line.includes("no installed gossip key opens it"));
  assert.equal(lines.length, 1);
  const [found] = n1.ailments();
  assert.deepEqual([found?.kind, found?.host], ["key", stranger.address.host]);
  assert.ok((found?.packets ?? 0) >= 5);
});

test("a member that only connections reach lives, and its closed port is known until a packet passes", async () => {
  const network = new MemoryNetwork();
  let next = 1;
  await using cluster = new Cluster(() =>
    network.transport({ host: `10.0.0.${next++}`, port: 7_946 }),
  );
  const n1 = await cluster.add("n1");
  const n2 = await cluster.add("n2");
  n2.join([n1.address]);
  await until(n1, "n2", "alive");
  const isClosed = () =>
    n1.ailments().some(({ kind, host }) => kind === "udp" && host === "10.0.0.2");
  /** Resolves with a packet on its way that finds it so: all of them, or none, arrive until then and after. */
  const whilePackets = (arrive: boolean, isSo: () => boolean) =>
    new Promise<void>((resolve) => {
      network.packetPasses = () => {
        if (isSo()) resolve();
        return arrive;
      };
    });
  await whilePackets(false, isClosed);
  assert.equal(n1.member("n2")?.state, "alive");
  // For a moment it does not answer at all: that is no other ailment, and no end of this one.
  network.passes = () => false;
  await until(n1, "n2", "suspect");
  assert.ok(isClosed());
  network.passes = () => true;
  await until(n1, "n2", "alive");
  await whilePackets(false, isClosed);
  await whilePackets(true, () => !isClosed());
});

test("rubbish on the wire changes nothing and is counted", async () => {
  await using cluster = new Cluster(sockets());
  const n1 = await cluster.add("n1");
  const rude = new SocketTransport({ host: "127.0.0.1", port: 0 });
  await rude.start({ onPacket() {}, onStream() {}, onError() {} });
  const stream = await rude.dial(n1.address, new AbortController().signal);
  const closed = once(stream, "close");
  stream.resume().write(Buffer.alloc(4_096, 0xc1));
  await closed;
  assert.equal(n1.counters.undecodable, 1);
  const n2 = await cluster.add("n2");
  for (let byte = 0; byte < 256; byte++) rude.send(n1.address, Buffer.alloc(40, byte));
  n2.join([n1.address]);
  await until(n1, "n2", "alive");
  await rude.stop();
});

test("packets from a thousand made-up addresses are counted, and are no thousand lines of the log", async () => {
  const network = new MemoryNetwork();
  await using cluster = new Cluster(() => network.transport({ host: "10.0.0.1", port: 7_946 }));
  const n1 = await cluster.add("n1", { keyring: new Keyring(key("a")) });
  const at = network.at(n1.address, n1.address);
  for (let each = 0; each < 1_000; each++) {
    at?.onPacket({ host: `10.9.${each >> 8}.${each & 0xff}`, port: 7_946 }, Buffer.alloc(60, each));
  }
  assert.equal(n1.counters.unsealed, 1_000);
  const lines = cluster.lines.filter((line) => line.includes("cannot be read was dropped"));
  assert.equal(lines.length, 256);
});

test("before its start a node knows nobody and does nothing", async () => {
  const transport = new MemoryNetwork().transport({ host: "10.0.0.1", port: 7_946 });
  const components = { transport, clock: systemClock, random: seededRandom(1), log: silentLogger };
  const node = new GossipNode(components, { node: "n1" });
  node.join([{ host: "10.0.0.2", port: 7_946 }]);
  node.broadcast("key", Buffer.alloc(1));
  await node.leave();
  assert.deepEqual(node.members(), []);
  await node.stop();
});
