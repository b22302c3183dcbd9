import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { FakeClock } from "../base/clock.ts";
import { createLogger } from "../base/logger.ts";
import { makeNode } from "../cluster/factories.ts";
import { createMemoryStore } from "../cluster/open-store.ts";
import { NetworkDiagnosis } from "./network-diagnosis.ts";

async function setUp() {
  const store = createMemoryStore();
  await store.update((tx) => {
    for (const index of [1, 2, 3]) {
      const addr = `192.168.99.${99 + index}`;
      const node = makeNode({ id: `id${index}`, hostname: `n${index}` });
      tx.put("node", { ...node, status: { state: "ready", addr } });
    }
  });
  const clock = new FakeClock();
  const lines: string[] = [];
  const log = createLogger({ write: (line) => void lines.push(line) });
  const diagnosis = new NetworkDiagnosis({ store, clock, log });
  diagnosis.start();
  const problemsOf = async (nodeID: string) => {
    for (let turn = 0; turn < 10; turn++) await setImmediate();
    return store.view().get("node", nodeID)?.networkProblems;
  };
  return { store, clock, lines, diagnosis, problemsOf };
}

test("what nodes report is on the node that is to blame, in the log once, and gone when it is over", async () => {
  const { diagnosis, problemsOf, lines } = await setUp();
  diagnosis.setProblems("id1", [{ kind: "udp", peer: "id3" }]);
  diagnosis.setProblems("id2", [{ kind: "udp", peer: "id3" }]);
  const found = ["7946/udp is closed between it and n1, n2, 7946/tcp is open"];
  assert.deepEqual(await problemsOf("id3"), found);
  assert.equal(await problemsOf("id1"), undefined);
  diagnosis.setProblems("id2", [{ kind: "udp", peer: "id3" }]);
  assert.deepEqual(await problemsOf("id3"), found);
  assert.equal(lines.filter((line) => line.includes("a node is ailing")).length, 1);
  diagnosis.setProblems("id1", []);
  diagnosis.closed("id2");
  assert.equal(await problemsOf("id3"), undefined);
  assert.equal(lines.filter((line) => line.includes("a node is well again")).length, 1);
  await diagnosis.stop();
});

test("a clock that is off in two beats running is named", async () => {
  const { diagnosis, problemsOf, clock } = await setUp();
  diagnosis.noteClock("id2", clock.now() + 95_000);
  assert.equal(await problemsOf("id2"), undefined, "a beat may have waited to be read");
  diagnosis.noteClock("id2", clock.now() + 95_000);
  assert.deepEqual(await problemsOf("id2"), ["its clock is 100 s ahead of the manager's"]);
  diagnosis.noteClock("id2", clock.now() + 200);
  assert.equal(await problemsOf("id2"), undefined);
  await diagnosis.stop();
});

test("a clock that is off is named once, though each beat measures it a little differently", async () => {
  const { diagnosis, problemsOf, clock, lines } = await setUp();
  for (const offMs of [95_100, 94_900, 95_200, 94_800, 99_000, 91_000]) {
    diagnosis.noteClock("id2", clock.now() + offMs);
    await problemsOf("id2");
  }
  assert.deepEqual(await problemsOf("id2"), ["its clock is 100 s ahead of the manager's"]);
  assert.equal(lines.filter((line) => line.includes("a node is ailing")).length, 1);
  diagnosis.noteClock("id2", clock.now() + 130_000);
  assert.deepEqual(await problemsOf("id2"), ["its clock is 130 s ahead of the manager's"]);
  for (const offMs of [31_000, 29_500, 30_500, 28_000]) {
    diagnosis.noteClock("id3", clock.now() + offMs);
    await problemsOf("id3");
  }
  assert.deepEqual(await problemsOf("id3"), ["its clock is 30 s ahead of the manager's"]);
  diagnosis.noteClock("id3", clock.now() + 19_000);
  assert.equal(await problemsOf("id3"), undefined);
  await diagnosis.stop();
});

test("two hosts that take a session from each other are named; one that has moved is not", async () => {
  const { diagnosis, problemsOf, clock } = await setUp();
  diagnosis.noteSession("id1", "192.168.99.100");
  diagnosis.noteSession("id1", "192.168.99.150");
  for (const addr of ["192.168.99.101", "192.168.99.109", "192.168.99.101", "192.168.99.109"]) {
    diagnosis.noteSession("id2", addr);
    clock.advance(1_000);
  }
  assert.equal(await problemsOf("id1"), undefined);
  assert.match((await problemsOf("id2"))?.[0] ?? "", /192.168.99.101 and 192.168.99.109/);
  clock.advance(61_000);
  assert.equal(await problemsOf("id2"), undefined);
  await diagnosis.stop();
});

test("an address that two nodes have is named on both, until one is down", async () => {
  const { diagnosis, problemsOf, store } = await setUp();
  const put = (state: "ready" | "down") =>
    store.update((tx) => {
      const node = tx.get("node", "id2");
      if (node !== undefined) {
        tx.put("node", { ...node, status: { state, addr: "192.168.99.100" } });
      }
    });
  await put("ready");
  diagnosis.markDirty();
  assert.deepEqual(await problemsOf("id1"), ["its address 192.168.99.100 is n2's too"]);
  assert.deepEqual(await problemsOf("id2"), ["its address 192.168.99.100 is n1's too"]);
  await put("down");
  diagnosis.markDirty();
  assert.equal(await problemsOf("id1"), undefined);
  await diagnosis.stop();
});
