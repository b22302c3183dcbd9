import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type NodeState, NodeStateFile, rememberedManagers } from "./node-state.ts";

test("what a node remembers comes back, from files of before its tunnels had an address as well", () => {
  const directory = mkdtempSync(join(tmpdir(), "weft-node-state-"));
  try {
    const file = new NodeStateFile(directory);
    const state: NodeState = {
      ...{ nodeID: "n", role: "worker", managers: ["10.0.0.1:2377"] },
      ...{ listenAddr: "0.0.0.0:2377", advertiseAddr: "" },
    };
    for (const each of [state, { ...state, dataPathAddr: "10.1.0.7" }]) {
      file.write(each);
      assert.deepEqual(file.read(), each);
    }
    writeFileSync(join(directory, "node.json"), JSON.stringify({ ...state, dataPathAddr: 7 }));
    assert.throws(() => file.read(), /node\.json is damaged/);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("the address that a node joined by is kept behind those that managers advertise, within a bound", () => {
  const joined = ["203.0.113.5:2377"];
  const told = rememberedManagers(["10.0.0.1:2377"], joined);
  assert.deepEqual(told, ["10.0.0.1:2377", "203.0.113.5:2377"]);
  assert.deepEqual(rememberedManagers(["10.0.0.1:2377"], told), told);
  const many = Array.from({ length: 40 }, (_, index) => `10.0.1.${index}:2377`);
  assert.deepEqual(rememberedManagers(["10.0.0.1:2377"], many).slice(0, 2), [
    "10.0.0.1:2377",
    "10.0.1.0:2377",
  ]);
  assert.equal(rememberedManagers([], many).length, 16);
});
