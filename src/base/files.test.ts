import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { DiskRefusedError, writeFailure, writeFileAtomic } from "./files.ts";

function withDirectory(work: (directory: string) => void): void {
  const directory = mkdtempSync(join(tmpdir(), "weft-files-"));
  try {
    work(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

test("a file is written whole, with its mode, also over what a crash has left", () => {
  withDirectory((directory) => {
    const path = join(directory, "state");
    writeFileSync(`${path}.new`, "half of it, and longer than what follows", { mode: 0o644 });
    writeFileAtomic(path, "new");
    assert.equal(readFileSync(path, "utf8"), "new");
    assert.equal(statSync(path).mode & 0o777, 0o600);
  });
});

test("what does not fit is an error, and the file stays as it was", () => {
  withDirectory((directory) => {
    const path = join(directory, "state");
    writeFileAtomic(path, "old");
    const module = JSON.stringify(join(import.meta.dirname, "files.ts"));
    const script = `import { writeFileAtomic } from ${module};
      writeFileAtomic(${JSON.stringify(path)}, "new".repeat(100_000));`;
    // A limit on the size of files: as with a full disk, the first write takes a part.
    const { status, stderr } = spawnSync(
      "sh",
      ["-c", 'ulimit -f 8 && exec "$0" --input-type=module -e "$1"', process.execPath, script],
      { encoding: "utf8" },
    );
    assert.notEqual(status, 0);
    assert.match(stderr, /EFBIG/);
    assert.equal(readFileSync(path, "utf8"), "old");
  });
});

test("a disk that takes nothing is named in plain words, with what is to be done; other faults stay as they are", () => {
  const fault = (code: string) => Object.assign(new Error(code), { code });
  const full = writeFailure("/var/lib/weft/node.json", fault("ENOSPC"));
  assert.ok(full instanceof DiskRefusedError);
  assert.equal(full.message, "cannot write /var/lib/weft/node.json: the disk is full, make room");
  assert.equal(writeFailure("/elsewhere", full), full);
  const other = fault("EACCES");
  assert.equal(writeFailure("/var/lib/weft/node.json", other), other);
});
