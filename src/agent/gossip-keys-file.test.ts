import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { silentLogger } from "../base/logger.ts";
import { GossipKeysFile } from "./gossip-keys-file.ts";

test("keys are kept for the node that they were told to, readable by nobody else, until it leaves", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "weft-keys-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "run", "keys.json");
  const of = (nodeID: string) => new GossipKeysFile({ nodeID, path, log: silentLogger });
  assert.deepEqual(await of("n1").read(), []);
  const keys = [Buffer.alloc(16, 1), Buffer.alloc(16, 2)];
  const file = of("n1");
  void file.write([Buffer.alloc(16, 9)]);
  await file.write(keys);
  assert.deepEqual(await of("n1").read(), keys);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.deepEqual(await of("n2").read(), []);
  writeFileSync(path, JSON.stringify({ nodeID: "n1", keys: ["short", 7] }));
  assert.deepEqual(await of("n1").read(), []);
  writeFileSync(path, "not JSON");
  assert.deepEqual(await of("n1").read(), []);
  await file.forget();
  assert.throws(() => statSync(path));
});
