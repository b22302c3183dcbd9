/**
 * Runs suites of tests one after the other, all of them even when one fails, and sums them up:
 * `node test/run.ts unit netns e2e`. A suite without files is said to be empty, and skips are listed
 * with their reasons, so that nothing passes by not running.
 *
 * In CI, files that failed are run once more, by themselves: a file that then passes is listed as unsteady.
 * That keeps a busy machine from costing a landing, and keeps the fault in sight.
 */
import { globSync } from "node:fs";
import { availableParallelism } from "node:os";
import { relative } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";

interface Suite {
  readonly pattern: string;
  /** Files at a time: what uses the kernel or whole hosts has the machine to itself. */
  readonly concurrency: number;
  /** A test that runs longer is cancelled and failed. */
  readonly timeoutMs: number;
}

const SUITES: Readonly<Record<string, Suite>> = {
  unit: {
    pattern: "{src,bench}/**/*.test.ts",
    concurrency: Math.max(1, availableParallelism() - 1),
    timeoutMs: 60_000,
  },
  /** Many seeds take long: `make sim` runs thousands. */
  sim: { pattern: "test/sim/**/*.test.ts", concurrency: 1, timeoutMs: 3_600_000 },
  netns: { pattern: "test/netns/**/*.test.ts", concurrency: 1, timeoutMs: 120_000 },
  compat: { pattern: "test/compat/**/*.test.ts", concurrency: 1, timeoutMs: 600_000 },
  e2e: { pattern: "test/e2e/**/*.test.ts", concurrency: 2, timeoutMs: 300_000 },
};

interface Totals {
  readonly suite: string;
  readonly files: number;
  tests: number;
  passed: number;
  failed: number;
  cancelled: number;
  skipped: number;
  readonly skips: Map<string, number>;
  /** Files that passed only when they were run again. */
  unsteady: readonly string[];
  durationMs: number;
}

type Counts = Pick<Totals, "tests" | "passed" | "failed" | "cancelled" | "skipped">;

const NOTHING: Counts = { tests: 0, passed: 0, failed: 0, cancelled: 0, skipped: 0 };

/** More files than this are no accident: they are not run again. */
const RERUN_FILES_MAX = 4;

const names = process.argv.slice(2);
const unknown = names.filter((name) => !(name in SUITES));
if (names.length === 0 || unknown.length > 0) {
  process.stderr.write(`usage: node test/run.ts ${Object.keys(SUITES).join("|")}…\n`);
  process.exit(2);
}
const results: Totals[] = [];
for (const name of names) {
  const suite = SUITES[name];
  if (suite !== undefined) results.push(await runSuite(name, suite));
}
process.stdout.write(summary(results));
process.exitCode = results.some(({ failed, cancelled }) => failed + cancelled > 0) ? 1 : 0;

async function runSuite(name: string, suite: Suite): Promise<Totals> {
  const files = globSync(suite.pattern).sort();
  const totals: Totals = {
    suite: name,
    files: files.length,
    tests: 0,
    passed: 0,
    failed: 0,
    cancelled: 0,
    skipped: 0,
    skips: new Map(),
    unsteady: [],
    durationMs: 0,
  };
  process.stdout.write(`\n── ${name}: ${files.length} files of ${suite.pattern}\n`);
  if (files.length === 0) return totals;
  const byFile = await runFiles(files, suite.concurrency, suite.timeoutMs, totals);
  const failed = [...byFile].filter(([, counts]) => hasFailed(counts)).map(([file]) => file);
  if (process.env["CI"] !== undefined && failed.length > 0 && failed.length <= RERUN_FILES_MAX) {
    process.stdout.write(`\n── ${name}: once more, by themselves: ${failed.join(" ")}\n`);
    const again = await runFiles(failed, 1, suite.timeoutMs, totals);
    for (const [file, counts] of again) byFile.set(file, counts);
    totals.unsteady = failed.filter((file) => {
      const counts = again.get(file);
      return counts !== undefined && !hasFailed(counts);
    });
  }
  for (const counts of byFile.values()) {
    for (const key of ["tests", "passed", "failed", "cancelled", "skipped"] as const) {
      totals[key] += counts[key];
    }
  }
  return totals;
}

/** Runs the files to their end, printing as it goes; what each came to. */
async function runFiles(
  files: readonly string[],
  concurrency: number,
  timeout: number,
  totals: Totals,
): Promise<Map<string, Counts>> {
  const byFile = new Map<string, Counts>();
  const events = run({ files: [...files], concurrency, timeout });
  events.on("test:pass", ({ skip }) => {
    if (skip === undefined || skip === false) return;
    const reason = skip === true || skip === "" ? "no reason given" : skip;
    totals.skips.set(reason, (totals.skips.get(reason) ?? 0) + 1);
  });
  events.on("test:summary", ({ file, counts, duration_ms: durationMs }) => {
    // The one without a file is that of all of them.
    if (file === undefined) totals.durationMs += Math.round(durationMs);
    else byFile.set(relative(process.cwd(), file), countsOf(counts));
  });
  for await (const chunk of events.compose(spec)) process.stdout.write(String(chunk));
  // A file that ended without a word has failed.
  for (const file of files)
    if (!byFile.has(file)) byFile.set(file, { ...NOTHING, tests: 1, failed: 1 });
  return byFile;
}

function countsOf(counts: {
  readonly tests: number;
  readonly passed: number;
  readonly cancelled: number;
  readonly skipped: number;
  readonly todo: number;
}): Counts {
  const { tests, passed, cancelled, skipped, todo } = counts;
  return { tests, passed, cancelled, skipped, failed: tests - passed - skipped - todo - cancelled };
}

function hasFailed({ failed, cancelled }: Counts): boolean {
  return failed + cancelled > 0;
}

/** A table of the suites, the skips, and last the totals as node's own runner prints them. */
function summary(all: readonly Totals[]): string {
  const sum = (key: "tests" | "passed" | "failed" | "cancelled" | "skipped" | "durationMs") =>
    all.reduce((total, totals) => total + totals[key], 0);
  const rows = all.map(({ suite, tests, passed, failed, cancelled, skipped, durationMs }) => {
    const cells = [tests, passed, failed + cancelled, skipped].map((n) => String(n).padStart(8));
    const seconds = (durationMs / 1_000).toFixed(1).padStart(9);
    return `${suite.padEnd(8)}${cells.join("")}${seconds} s${tests === 0 ? "  (no tests)" : ""}`;
  });
  const skips = all.flatMap(({ suite, skips: reasons }) =>
    [...reasons].map(([reason, count]) => `skipped ${count} of ${suite}: ${reason}`),
  );
  const unsteady = all.flatMap(({ suite, unsteady: files }) =>
    files.map((file) => `UNSTEADY in ${suite}: ${file} failed, and passed when it was run again`),
  );
  const totals = [
    `ℹ tests ${sum("tests")}`,
    `ℹ pass ${sum("passed")}`,
    `ℹ fail ${sum("failed")}`,
    `ℹ cancelled ${sum("cancelled")}`,
    `ℹ skipped ${sum("skipped")}`,
    `ℹ duration_ms ${sum("durationMs")}`,
  ];
  const head = `${"suite".padEnd(8)}   tests    pass    fail skipped     time`;
  return `\n${[head, ...rows, ...skips, ...unsteady, "", ...totals].join("\n")}\n`;
}
