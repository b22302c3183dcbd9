/**
 * Runs suites of tests, all of them even when one fails, and sums them up: `node test/run.ts unit netns e2e`.
 * Skips are listed with their reasons, so that nothing passes by not running.
 *
 * In CI, files that failed are run once more, by themselves: a file that then passes is listed as unsteady.
 * That keeps a busy machine from costing a landing, and keeps the fault in sight.
 */
import { globSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, relative } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";

/** Suites of one pool run together, their files mixed, and the pools beside each other: who waits for a host leaves the processors to the rest. */
type PoolName = "processes" | "hosts";

interface Suite {
  readonly pattern: string;
  readonly pool: PoolName;
  /** A file that runs longer is cancelled and failed. */
  readonly timeoutMs: number;
}

const SUITES: Readonly<Record<string, Suite>> = {
  unit: { pattern: "{src,bench}/**/*.test.ts", pool: "processes", timeoutMs: 120_000 },
  /** Many seeds take long: `make sim` runs thousands. */
  sim: { pattern: "test/sim/**/*.test.ts", pool: "processes", timeoutMs: 3_600_000 },
  netns: { pattern: "test/netns/**/*.test.ts", pool: "hosts", timeoutMs: 300_000 },
  e2e: { pattern: "test/e2e/**/*.test.ts", pool: "hosts", timeoutMs: 600_000 },
  compat: { pattern: "test/compat/**/*.test.ts", pool: "hosts", timeoutMs: 600_000 },
};

/** Files at a time. Hosts are waited for a third of the time, so there are more of them than processors. */
const AT_A_TIME: Readonly<Record<PoolName, number>> = {
  processes: Math.max(1, availableParallelism() - 1),
  hosts: availableParallelism() + 1,
};

/** Compiled code of tests and sources, for the hundreds of processes that load the same files. */
process.env["NODE_COMPILE_CACHE"] ??= join(process.cwd(), ".weft-lab", "compiled");

/** The Engine, its CLI and runc are programs in Go: with more memory they do the same for a sixth less of the processors' time. */
process.env["GOGC"] ??= "400";

/** The longest begin first, so that nobody waits for one of them at the end. */
const LONGEST_FIRST = [
  "test/e2e/no-request-lost.test.ts",
  "test/compat/compat.test.ts",
  "test/e2e/beside.test.ts",
  "test/e2e/gossip.test.ts",
  "test/e2e/balancer.test.ts",
  "test/e2e/survive.test.ts",
];
/** So many of the slowest files are named in the end. */
const SLOWEST_SHOWN = 6;

interface Counts {
  tests: number;
  passed: number;
  failed: number;
  cancelled: number;
  skipped: number;
  /** Of the suite's files, one after the other. */
  durationMs: number;
}

interface Totals extends Counts {
  readonly suite: string;
  readonly skips: Map<string, number>;
  /** Files that passed only when they were run again. */
  readonly unsteady: string[];
}

const NOTHING: Counts = { tests: 0, passed: 0, failed: 0, cancelled: 0, skipped: 0, durationMs: 0 };

interface Pool {
  readonly name: PoolName;
  readonly files: readonly string[];
  readonly timeoutMs: number;
  readonly suiteOf: ReadonlyMap<string, Totals>;
  readonly totals: readonly Totals[];
  readonly byFile: Map<string, Counts>;
}

type Print = (text: string) => void;

/** More files than this are no accident: they are not run again. */
const RERUN_FILES_MAX = 6;

const names = process.argv.slice(2);
const unknown = names.filter((name) => !(name in SUITES));
if (names.length === 0 || unknown.length > 0) {
  process.stderr.write(`usage: node test/run.ts ${Object.keys(SUITES).join("|")}…\n`);
  process.exit(2);
}
const startedAt = performance.now();
const print: Print = (text) => void process.stdout.write(text);
const processes = poolOf("processes");
const hosts = poolOf("hosts");
const processesEnded = runPool(processes, print);
await Promise.all([processesEnded, runPool(hosts, printedAfter(processesEnded))]);
for (const pool of [processes, hosts]) await runAgain(pool);
const results = [processes, hosts].flatMap(summedUp);
print(summary(results, performance.now() - startedAt));
process.exitCode = results.some(({ failed, cancelled }) => failed + cancelled > 0) ? 1 : 0;

/** Those suites of the pool that were asked for. */
function poolOf(name: PoolName): Pool {
  const wanted = Object.entries(SUITES).filter(
    ([suite, { pool }]) => pool === name && names.includes(suite),
  );
  const suiteOf = new Map<string, Totals>();
  const totals = wanted.map(([suite, { pattern }]) => {
    const total = { suite, ...NOTHING, skips: new Map<string, number>(), unsteady: [] };
    for (const file of globSync(pattern)) suiteOf.set(file, total);
    return total;
  });
  const timeoutMs = Math.max(...wanted.map(([, suite]) => suite.timeoutMs));
  return {
    name,
    files: inOrder([...suiteOf.keys()]),
    timeoutMs,
    suiteOf,
    totals,
    byFile: new Map(),
  };
}

/** All files of the pool, once. */
async function runPool(pool: Pool, write: Print): Promise<void> {
  if (pool.files.length === 0) return;
  const title = pool.totals.map(({ suite }) => suite).join(", ");
  write(`\n── ${title}: ${pool.files.length} files, ${AT_A_TIME[pool.name]} at a time\n`);
  await runFiles(pool, pool.files, AT_A_TIME[pool.name], write);
}

/** Holds what is printed until something else has ended, so that two things that run together are read one after the other. */
function printedAfter(ended: Promise<unknown>): Print {
  let held: string[] | undefined = [];
  const release = () => {
    for (const text of held ?? []) print(text);
    held = undefined;
  };
  void ended.then(release, release);
  return (text) => void (held === undefined ? print(text) : held.push(text));
}

function summedUp({ byFile, suiteOf, totals }: Pool): readonly Totals[] {
  for (const [file, counts] of byFile) {
    const suite = suiteOf.get(file);
    if (suite !== undefined) add(suite, counts);
  }
  return totals;
}

function inOrder(files: readonly string[]): readonly string[] {
  const rest = files.filter((file) => !LONGEST_FIRST.includes(file)).sort();
  return [...LONGEST_FIRST.filter((file) => files.includes(file)), ...rest];
}

/** In CI: what failed, one file after the other; the second word counts. */
async function runAgain(pool: Pool): Promise<void> {
  const { byFile, suiteOf } = pool;
  const failed = [...byFile].filter(([, counts]) => hasFailed(counts)).map(([file]) => file);
  const isAccident = failed.length > 0 && failed.length <= RERUN_FILES_MAX;
  if (process.env["CI"] === undefined || !isAccident) return;
  print(`\n── once more, by themselves: ${failed.join(" ")}\n`);
  await runFiles(pool, failed, 1, print);
  for (const file of failed) {
    const suite = suiteOf.get(file);
    const counts = byFile.get(file);
    if (suite !== undefined && counts !== undefined && !hasFailed(counts))
      suite.unsteady.push(file);
  }
}

function add(totals: Counts, counts: Counts): void {
  totals.tests += counts.tests;
  totals.passed += counts.passed;
  totals.failed += counts.failed;
  totals.cancelled += counts.cancelled;
  totals.skipped += counts.skipped;
  totals.durationMs += counts.durationMs;
}

/** Runs files of the pool to their end, printing as it goes; notes what each came to. */
async function runFiles(
  { byFile, suiteOf, timeoutMs }: Pool,
  files: readonly string[],
  concurrency: number,
  write: Print,
): Promise<void> {
  // A file that ends without a word has failed.
  for (const file of files) byFile.set(file, { ...NOTHING, tests: 1, failed: 1 });
  const events = run({ files: [...files], concurrency, timeout: timeoutMs });
  events.on("test:pass", ({ skip, file }) => {
    if (skip === undefined || skip === false) return;
    const reason = skip === true || skip === "" ? "no reason given" : skip;
    const skips = suiteOf.get(relative(process.cwd(), file ?? ""))?.skips;
    skips?.set(reason, (skips.get(reason) ?? 0) + 1);
  });
  events.on("test:summary", ({ file, counts, duration_ms: durationMs }) => {
    // The one without a file is that of all of them.
    if (file !== undefined) byFile.set(relative(process.cwd(), file), countsOf(counts, durationMs));
  });
  for await (const chunk of events.compose(spec)) write(String(chunk));
}

function countsOf(
  counts: {
    readonly tests: number;
    readonly passed: number;
    readonly cancelled: number;
    readonly skipped: number;
    readonly todo: number;
  },
  durationMs: number,
): Counts {
  const { tests, passed, cancelled, skipped, todo } = counts;
  const failed = tests - passed - skipped - todo - cancelled;
  return { tests, passed, cancelled, skipped, failed, durationMs };
}

function hasFailed({ failed, cancelled }: Counts): boolean {
  return failed + cancelled > 0;
}

/** A table of the suites, the skips, and last the totals as node's own runner prints them. */
function summary(all: readonly Totals[], tookMs: number): string {
  const sum = (key: keyof Counts) => all.reduce((total, totals) => total + totals[key], 0);
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
  const slow = [processes, hosts]
    .flatMap(({ byFile }) => [...byFile])
    .map(([file, { durationMs }]): [string, number] => [file, durationMs])
    .sort(([, a], [, b]) => b - a)
    .slice(0, SLOWEST_SHOWN)
    .map(([file, ms]) => `${(ms / 1_000).toFixed(0).padStart(5)} s  ${file}`);
  const totals = [
    `ℹ tests ${sum("tests")}`,
    `ℹ pass ${sum("passed")}`,
    `ℹ fail ${sum("failed")}`,
    `ℹ cancelled ${sum("cancelled")}`,
    `ℹ skipped ${sum("skipped")}`,
    `ℹ duration_ms ${Math.round(tookMs)}`,
  ];
  const head = `${"suite".padEnd(8)}   tests    pass    fail skipped     time`;
  return `\n${[head, ...rows, ...skips, ...unsteady, "", "slowest:", ...slow, "", ...totals].join("\n")}\n`;
}
