import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { FakeClock } from "../../base/clock.ts";
import { createLogger } from "../../base/logger.ts";
import { NameStore } from "./name-store.ts";
import { networkSetID } from "./names.ts";

const SET = networkSetID(4097);

test("names that a full disk did not take are answered, named once, and written when there is room", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "weft-names-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const lines: string[] = [];
  const clock = new FakeClock();
  const log = createLogger({ write: (line) => void lines.push(line) });
  const names = new NameStore({ clock, log }, directory);
  await names.load();
  const path = join(directory, `${SET}.json`);
  symlinkSync("/dev/full", `${path}.new`);
  names.change({ set: SET, suffix: "net", subnets: [], revision: "1", put: [], remove: [] });
  await names.flush();
  await names.flush();
  assert.notEqual(names.get(SET), undefined);
  assert.equal(lines.length, 1);
  assert.ok(lines[0]?.includes(`cannot write ${path}: the disk is full, make room`), lines[0]);
  rmSync(`${path}.new`);
  clock.advance(5_000);
  await names.flush();
  assert.deepEqual(readdirSync(directory), [`${SET}.json`]);
});
