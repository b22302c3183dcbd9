/** The part "names": how many questions a keeper answers with one core, how soon, and whether more names are in the way. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { LabError } from "../../src/lab/errors.ts";
import { runOk } from "../../src/lab/process.ts";
import type { Progress } from "../progress.ts";
import { quantile, type Summary, summarize } from "../stats.ts";
import type { NamesPlan, NamesTimes } from "./worker.ts";

const SIZES = [10, 1_000, 10_000];
const SIZES_QUICK = [10, 10_000];
const CHANGES = 20;
const SECONDS = 4;
const SECONDS_QUICK = 2;
/** At which latency is measured: what one node's containers would hardly ask. */
const STEADY_RATE = 10_000;
const PORT = 19_353;
/** The keeper has a core of its own, and who asks has the others: what is measured is what one core answers. */
const KEEPERS_CORE = "0";
const ASKERS_CORES = availableParallelism() > 1 ? `1-${availableParallelism() - 1}` : KEEPERS_CORE;
const WORKER = new URL("./worker.ts", import.meta.url).pathname;

/** dnsperf with all the questions it can keep open, and what the keeper spent on each. */
export interface NamesRate {
  readonly perSecond: number;
  readonly lost: number;
  readonly cpuUs: number;
}

export interface NamesResult {
  readonly services: number;
  readonly toldMs: number;
  readonly change: Summary;
  readonly residentBytes: number;
  readonly address: NamesRate;
  readonly list: NamesRate;
  readonly nobody: NamesRate;
  readonly steadyP50Ms: number;
  readonly steadyP99Ms: number;
}

export interface NamesReport {
  readonly steadyRate: number;
  readonly sizes: readonly NamesResult[];
}

export async function benchNames(
  options: { readonly isQuick: boolean },
  progress: Progress,
): Promise<NamesReport> {
  const sizes = options.isQuick ? SIZES_QUICK : SIZES;
  const seconds = options.isQuick ? SECONDS_QUICK : SECONDS;
  progress.part(`Names: ${sizes.join(", ")} services`);
  const results: NamesResult[] = [];
  for (const services of sizes) {
    progress.step(`${services} services`);
    results.push(await measure(services, seconds));
  }
  return { steadyRate: STEADY_RATE, sizes: results };
}

async function measure(services: number, seconds: number): Promise<NamesResult> {
  const plan: NamesPlan = { services, port: PORT, changes: Math.min(CHANGES, services) };
  const argv = ["-c", KEEPERS_CORE, process.execPath, WORKER, JSON.stringify(plan)];
  const worker = spawn("taskset", argv, { stdio: ["pipe", "pipe", "inherit"] });
  const directory = mkdtempSync(join(tmpdir(), "weft-bench-questions-"));
  try {
    const lines = createInterface({ input: worker.stdout })[Symbol.asyncIterator]();
    const line = async () => String((await lines.next()).value);
    const times = JSON.parse(await line()) as NamesTimes;
    const cpu = async () => {
      worker.stdin.write("\n");
      return Number(await line());
    };
    const ask = async (name: string, questionOf: (at: number) => string): Promise<NamesRate> => {
      const file = join(directory, name);
      const questions = Array.from({ length: services }, (_, at) => `${questionOf(at)} A`);
      writeFileSync(file, `${questions.join("\n")}\n`);
      const before = await cpu();
      const { completed, perSecond, lost } = await dnsperf(file, seconds, ["-c", "8", "-q", "100"]);
      return { perSecond, lost, cpuUs: ((await cpu()) - before) / completed };
    };
    const address = await ask("address", (at) => `s${at}.weft`);
    const list = await ask("list", (at) => `tasks.s${at}.weft`);
    const nobody = await ask("nobody", (at) => `nobody${at}.weft`);
    const steady = ["-c", "8", "-Q", String(STEADY_RATE), "-v"];
    const { latenciesMs } = await dnsperf(join(directory, "address"), seconds, steady);
    return {
      ...{ services, address, list, nobody, change: summarize(times.changeMs) },
      ...{ toldMs: times.toldMs, residentBytes: times.residentBytes },
      steadyP50Ms: quantile(latenciesMs, 0.5),
      steadyP99Ms: quantile(latenciesMs, 0.99),
    };
  } finally {
    worker.stdin.end();
    rmSync(directory, { recursive: true });
  }
}

async function dnsperf(file: string, seconds: number, options: readonly string[]) {
  const where = ["-s", "127.0.0.1", "-p", String(PORT), "-d", file, "-l", String(seconds)];
  const output = await runOk(["taskset", "-c", ASKERS_CORES, "dnsperf", ...where, ...options]);
  const figureOf = (title: string) => {
    const found = new RegExp(`${title}:\\s+([\\d.]+)`).exec(output)?.[1];
    if (found === undefined) throw new LabError(`dnsperf did not say "${title}":\n${output}`);
    return Number(found);
  };
  const latenciesMs = [...output.matchAll(/^> \S+ \S+ A ([\d.]+)$/gm)].map(
    ([, text]) => Number(text) * 1_000,
  );
  return {
    completed: figureOf("Queries completed"),
    perSecond: figureOf("Queries per second"),
    lost: figureOf("Queries lost"),
    latenciesMs,
  };
}
