/** Docker's CLI typed at Weft, beside what a real Engine in swarm mode was recorded to answer. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { labUnavailable } from "../../src/lab/requirements.ts";
import { compare, documentOf, type Recorded } from "./comparison.ts";
import { DIFFERENCES } from "./differences.ts";
import { playOnWeft } from "./play.ts";

const skip = (await labUnavailable()) ?? false;
const read = (path: string) => readFileSync(new URL(path, import.meta.url), "utf8");

test("every answer is the Engine's own, or differs on purpose", { skip }, async (t) => {
  const recorded = JSON.parse(read("recorded.json")) as Recorded;
  const compared = compare(recorded, await playOnWeft());
  for (const { command, engine, weft } of compared) {
    await t.test(command, () => {
      if (command in DIFFERENCES) assert.notDeepEqual(weft, engine, "it is listed as different");
      else assert.deepEqual(weft, engine);
    });
  }
  await t.test("docs/COMPATIBILITY.md says what was seen", () => {
    assert.equal(documentOf(recorded, compared, DIFFERENCES), read("../../docs/COMPATIBILITY.md"));
  });
});
