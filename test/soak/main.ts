/**
 * `make soak` (or `node test/soak/main.ts --minutes 10 --seed 7 --json result.json`): operations drawn from a
 * seed, under load, for so long. It fails when a planned operation lost a request.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { seededRandom } from "../../src/base/random.ts";
import { SoakCluster } from "./cluster.ts";
import { drawnOperations } from "./operations.ts";
import { describeResult, describeTotals, type OperationResult, totalsOf } from "./report.ts";
import { runOperations } from "./run.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    json: { type: "string" },
  },
});
const say = (lines: readonly string[]) => void process.stdout.write(`${lines.join("\n")}\n`);

const minutes = Number(values.minutes);
const seed = Number(values.seed);
if (!(minutes > 0) || !Number.isInteger(seed)) {
  process.stderr.write("usage: node test/soak/main.ts [--minutes N] [--seed N] [--json FILE]\n");
  process.exit(2);
}
say([`seed ${seed}, ${minutes} minutes: three hosts, five loads on all of them`]);
await using cluster = await SoakCluster.create();
const operations = drawnOperations(seededRandom(seed));
const results = await runOperations(
  cluster,
  operations,
  (result) => say(describeResult(result)),
  AbortSignal.timeout(minutes * 60_000),
);
say(["", ...describeTotals(results)]);
if (values.json !== undefined) writeFileSync(values.json, `${jsonOf(results)}\n`);
const planned = results.filter(({ operation }) => operation.planned);
process.exitCode = totalsOf(planned).failed === 0 ? 0 : 1;

function jsonOf(all: readonly OperationResult[]): string {
  const operations = all.map(({ operation, tookMs, startedAt, spans }) => ({
    ...{ name: operation.name, planned: operation.planned, startedAt, tookMs },
    loads: Object.fromEntries(spans),
  }));
  return JSON.stringify({ seed, minutes, operations }, undefined, 2);
}
