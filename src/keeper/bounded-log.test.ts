import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { LOG_BYTES_MAX } from "./bounded-log.ts";

test("the log file never grows beyond its bound and keeps what came before once", () => {
  const directory = mkdtempSync(join(tmpdir(), "weft-keeper-"));
  try {
    const path = join(directory, "keeper.log");
    const file = openSync(path, "a");
    const module = JSON.stringify(new URL("./bounded-log.ts", import.meta.url).href);
    const program = `
      const { boundedStderr } = await import(${module});
      const write = boundedStderr();
      for (let n = 1; n <= 30_000; n++) write("line " + n + " " + "x".repeat(80) + "\\n");
    `;
    spawnSync(process.execPath, ["--input-type=module", "-e", program], {
      stdio: ["ignore", "ignore", file],
    });
    closeSync(file);
    assert.match(readFileSync(path, "utf8"), /^line 30000 x+\n$/m);
    for (const each of [path, `${path}.1`]) assert.ok(statSync(each).size <= LOG_BYTES_MAX);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
