import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { silentLogger } from "../base/logger.ts";
import { MemoryFile } from "./memory.ts";

test("what a node remembers is its own: what another membership has left is not gone on with", async () => {
  const directory = mkdtempSync(join(tmpdir(), "weft-memory-"));
  try {
    const memory = { tasks: [], statuses: {} };
    const open = (nodeID: string) =>
      new MemoryFile({
        nodeID,
        path: join(directory, "agent", "memory.json"),
        log: silentLogger,
        snapshot: () => memory,
      });
    const first = open("first");
    first.markDirty();
    await first.stop();
    assert.deepEqual((await open("first").read())?.tasks, []);
    assert.equal(await open("second").read(), undefined);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
