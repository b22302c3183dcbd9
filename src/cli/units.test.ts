/** systemd's units, as `make service` writes them for the directory that Weft is in. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

const ROOT = join(import.meta.dirname, "../..");
const UNITS = ["weft-keeper.service", "weft.service"];

test("the units run this directory's Weft, and systemd takes them", (context) => {
  const destination = mkdtempSync(join(tmpdir(), "weft-units-"));
  context.after(() => rmSync(destination, { recursive: true }));
  const env = { ...process.env, DESTDIR: destination };
  execFileSync(join(ROOT, "scripts/install-units.sh"), { env, stdio: "pipe" });
  const files = UNITS.map((unit) => join(destination, "etc/systemd/system", unit));
  for (const file of files) {
    const text = readFileSync(file, "utf8");
    const program = /^ExecStart=(\S+) /m.exec(text)?.[1] ?? "";
    assert.equal(program, join(ROOT, "bin/weft"));
    assert.ok(existsSync(program));
    assert.doesNotMatch(text, /\/opt\/weft/);
  }
  const verified = spawnSync("systemd-analyze", ["verify", ...files], { encoding: "utf8" });
  if (verified.error !== undefined) return context.diagnostic("no systemd-analyze on this host");
  assert.equal(`${verified.status} ${verified.stderr}`, "0 ");
});
