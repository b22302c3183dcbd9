import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { NewLines } from "./new-lines.ts";

test("each line is told once, when it is complete, whatever its length and its letters", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "weft-lines-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, "log");
  writeFileSync(file, "");
  const lines = new NewLines(file);
  assert.deepEqual(lines.take(), []);
  appendFileSync(file, "one\ntwo\nthr");
  assert.deepEqual(lines.take(), ["one", "two"]);
  assert.deepEqual(lines.take(), []);
  const letter = Buffer.from("é");
  appendFileSync(file, Buffer.concat([Buffer.from("ee\n\n"), letter.subarray(0, 1)]));
  assert.deepEqual(lines.take(), ["three", ""]);
  const long = "x".repeat(200_000);
  appendFileSync(file, Buffer.concat([letter.subarray(1), Buffer.from(`${long}\n`)]));
  assert.deepEqual(lines.take(), [`é${long}`]);
});
