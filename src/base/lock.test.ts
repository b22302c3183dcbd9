import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { lockFile, lockNetworkNamespace } from "./lock.ts";

test("a locked file is refused to a second, and free again after release", () => {
  const directory = mkdtempSync(join(tmpdir(), "weft-lock-"));
  try {
    const path = join(directory, "deep", "lock");
    const first = lockFile(path, "taken");
    assert.throws(() => lockFile(path, "taken"), /^ConflictError: taken$/);
    first.release();
    lockFile(path, "taken").release();
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("a lock ends with its process, killed or not", async () => {
  const directory = mkdtempSync(join(tmpdir(), "weft-lock-"));
  try {
    const path = join(directory, "lock");
    const holder = spawn(
      process.execPath,
      [
        "--input-type=module",
        "-e",
        `const { lockFile } = await import(${JSON.stringify(new URL("./lock.ts", import.meta.url).href)});
         lockFile(${JSON.stringify(path)}, "taken"); console.log("locked"); setInterval(() => {}, 1000)`,
      ],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    await once(holder.stdout, "data");
    assert.throws(() => lockFile(path, "taken"), /taken/);
    holder.kill("SIGKILL");
    await once(holder, "exit");
    lockFile(path, "taken").release();
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("a name in the network namespace is refused to a second", async () => {
  const name = `weft-test-${process.pid}`;
  const first = await lockNetworkNamespace(name, "taken");
  await assert.rejects(lockNetworkNamespace(name, "taken"), /taken/);
  first.release();
});
