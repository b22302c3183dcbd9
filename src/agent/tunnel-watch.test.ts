import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { FakeClock } from "../base/clock.ts";
import type { RunTool } from "../datapath/run.ts";
import type { MeshNode } from "../datapath/view.ts";
import { TunnelWatch } from "./tunnel-watch.ts";

function setUp(count = 2) {
  const clock = new FakeClock();
  const peers = Array.from({ length: count }, (_, index): MeshNode => {
    const nodeID = `n${index + 1}`;
    const underlayAddress = `192.168.9.${index + 1}`;
    return {
      nodeID,
      index,
      underlayAddress,
      overlayAddress: `10.255.0.${index + 1}`,
      addresses: [],
    };
  });
  /** What does not come back, as "10.255.0.1" or "10.255.0.1 full". */
  const lost = new Set<string>();
  /** Where datagrams with checksums do not arrive. */
  const garbled = new Set<string>();
  /** Milliseconds since a peer's own packet was heard, when it was. */
  const heard = new Map<string, number>();
  const asked: string[] = [];
  const run: RunTool = async (tool, args) => {
    assert.equal(tool, "ping");
    const address = args.at(-1) ?? "";
    const isFull = args.includes("-M");
    if (isFull) assert.equal(args[args.indexOf("-s") + 1], "1422");
    else asked.push(address);
    const isLost = lost.has(address) || (isFull && lost.has(`${address} full`));
    return { status: isLost ? 1 : 0, stdout: "", stderr: "" };
  };
  let changes = 0;
  const watch = new TunnelWatch({
    clock,
    run,
    readMTU: async () => 1_450,
    checksums: async (address) => !garbled.has(address),
    lastHeard: async (address) => heard.get(address),
    peers: () => peers,
    onChange: () => (changes += 1),
  });
  const pass = async (ms: number) => {
    for (let left = ms; left > 0; left -= 1_000) {
      clock.advance(1_000);
      for (let turn = 0; turn < 5; turn++) await setImmediate();
    }
  };
  return { watch, pass, lost, garbled, heard, peers, asked, changes: () => changes };
}

test("a peer that answers neither small nor full-size packets twice running is without a tunnel", async () => {
  const { watch, pass, lost } = setUp();
  watch.start();
  await pass(30_000);
  assert.deepEqual([...watch.ailments()], []);
  lost.add("10.255.0.2");
  await pass(40_000);
  assert.deepEqual([...watch.ailments()], [["n2", "tunnel"]]);
  lost.clear();
  await pass(40_000);
  assert.deepEqual([...watch.ailments()], []);
  await watch.stop();
});

test("one that answers only small packets is behind an MTU black hole", async () => {
  const { watch, pass, lost } = setUp();
  lost.add("10.255.0.1 full");
  watch.start();
  await pass(2_000);
  assert.deepEqual([...watch.ailments()], [], "one lost answer is none");
  await pass(2_000);
  assert.deepEqual([...watch.ailments()], [["n1", "mtu"]]);
  await watch.stop();
});

test("who is well is asked with one pair of packets in a quarter of a minute, and who is dead not at all", async () => {
  const { watch, pass, peers, asked, lost } = setUp(3);
  watch.start();
  await pass(6_000);
  asked.length = 0;
  await pass(90_000);
  assert.deepEqual(asked, [], "full-size packets came back: no other were needed");
  lost.add("10.255.0.3");
  await pass(70_000);
  assert.deepEqual([...watch.ailments().keys()], ["n3"]);
  peers.pop();
  await pass(16_000);
  assert.deepEqual([...watch.ailments()], []);
  await watch.stop();
});

test("one that is heard and does not answer has its own way open, from then on and until it answers", async () => {
  const { watch, pass, lost, heard } = setUp();
  lost.add("10.255.0.1");
  heard.set("10.255.0.1", 20_000);
  watch.start();
  await pass(10_000);
  assert.deepEqual(
    [...watch.ailments()],
    [["n1", "tunnel"]],
    "it was heard before the fault alone",
  );
  heard.set("10.255.0.1", 1_000);
  await pass(10_000);
  assert.deepEqual([...watch.ailments()], [["n1", "oneway"]]);
  heard.clear();
  await pass(60_000);
  assert.deepEqual([...watch.ailments()], [["n1", "oneway"]]);
  await pass(400_000);
  assert.deepEqual([...watch.ailments()], [["n1", "tunnel"]], "it was heard too long ago");
  lost.clear();
  await pass(60_000);
  assert.deepEqual([...watch.ailments()], []);
  await watch.stop();
});

test("one that answers pings and drops datagrams for their checksums is named", async () => {
  const { watch, pass, garbled } = setUp();
  garbled.add("10.255.0.2");
  watch.start();
  await pass(30_000);
  assert.deepEqual([...watch.ailments()], [["n2", "checksum"]]);
  garbled.clear();
  await pass(30_000);
  assert.deepEqual([...watch.ailments()], []);
  await watch.stop();
});

test("a look that is under way ends with the watch, and is nobody's ailment", async () => {
  for (const hangs of ["ping", "checksums"] as const) {
    const { peers } = setUp(1);
    const clock = new FakeClock();
    const asked = Promise.withResolvers<void>();
    let changes = 0;
    const untilEnded = (signal: AbortSignal | undefined) =>
      new Promise<never>((_, reject) => {
        signal?.addEventListener("abort", () => reject(signal.reason as Error));
        asked.resolve();
      });
    const watch = new TunnelWatch({
      clock,
      run: async (_tool, _args, _stdin, signal) =>
        hangs === "ping" ? untilEnded(signal) : { status: 0, stdout: "", stderr: "" },
      readMTU: async () => 1_450,
      checksums: (_address, signal) => untilEnded(signal),
      peers: () => peers,
      onChange: () => (changes += 1),
    });
    watch.start();
    clock.advance(2_000);
    await asked.promise;
    await watch.stop();
    assert.equal(changes, 0);
    assert.deepEqual(clock.pending(), []);
    assert.equal(watch.ailments().size, 0);
  }
});
