/**
 * Runs suites of tests one after the other, all of them even when one fails, and sums them up:
 * `node test/run.ts unit netns e2e`. A suite without files is said to be empty, and skips are listed
 * with their reasons, so that nothing passes by not running.
 */
import { globSync } from "node:fs";
import { availableParallelism } from "node:os";
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
  e2e: { pattern: "test/e2e/**/*.test.ts", concurrency: 1, timeoutMs: 300_000 },
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
  durationMs: number;
}

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
    durationMs: 0,
  };
  process.stdout.write(`\n── ${name}: ${files.length} files of ${suite.pattern}\n`);
  if (files.length === 0) return totals;
  const events = run({ files, concurrency: suite.concurrency, timeout: suite.timeoutMs });
  events.on("test:pass", ({ skip }) => {
    if (skip === undefined || skip === false) return;
    const reason = skip === true || skip === "" ? "no reason given" : skip;
    totals.skips.set(reason, (totals.skips.get(reason) ?? 0) + 1);
  });
  events.on("test:summary", ({ file, counts, duration_ms: durationMs }) => {
    if (file !== undefined) return; // the last one is the whole suite's
    totals.tests = counts.tests;
    totals.passed = counts.passed;
    totals.failed = counts.tests - counts.passed - counts.skipped - counts.todo - counts.cancelled;
    totals.cancelled = counts.cancelled;
    totals.skipped = counts.skipped;
    totals.durationMs = Math.round(durationMs);
  });
  for await (const chunk of events.compose(spec)) process.stdout.write(String(chunk));
  return totals;
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
  const totals = [
    `ℹ tests ${sum("tests")}`,
    `ℹ pass ${sum("passed")}`,
    `ℹ fail ${sum("failed")}`,
    `ℹ cancelled ${sum("cancelled")}`,
    `ℹ skipped ${sum("skipped")}`,
    `ℹ duration_ms ${sum("durationMs")}`,
  ];
  const head = `${"suite".padEnd(8)}   tests    pass    fail skipped     time`;
  return `\n${[head, ...rows, ...skips, "", ...totals].join("\n")}\n`;
}
