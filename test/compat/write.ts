/** Types the steps at Weft and writes docs/COMPATIBILITY.md from what came of it: `node test/compat/write.ts`, as root. */
import { readFileSync, writeFileSync } from "node:fs";
import { compare, documentOf, type Recorded } from "./comparison.ts";
import { DIFFERENCES } from "./differences.ts";
import { playOnWeft } from "./play.ts";

const recorded = JSON.parse(
  readFileSync(new URL("recorded.json", import.meta.url), "utf8"),
) as Recorded;
const compared = compare(recorded, await playOnWeft());
for (const { command, engine, weft, matches } of compared) {
  if (matches || command in DIFFERENCES) continue;
  process.stdout.write(
    `${command}\n  Docker: ${JSON.stringify(engine)}\n  Weft: ${JSON.stringify(weft)}\n`,
  );
  process.exitCode = 1;
}
if (process.exitCode === undefined) {
  const page = new URL("../../docs/COMPATIBILITY.md", import.meta.url);
  writeFileSync(page, documentOf(recorded, compared, DIFFERENCES));
}
