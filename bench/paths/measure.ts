/** Asks all paths in turn, load by load and round by round, and sums up what they did. */
import { messageOf } from "../../src/base/errors.ts";
import { until } from "../../src/lab/until.ts";
import { BULK_LOADS } from "../loads/bulk.ts";
import { HTTP_LOADS } from "../loads/http.ts";
import type { Load, Run } from "../loads/load.ts";
import { UDP_LOADS } from "../loads/udp.ts";
import type { Progress } from "../progress.ts";
import {
  mergeHistograms,
  pairedRatio,
  percentile,
  rotated,
  type Summary,
  summarize,
} from "../stats.ts";
import type { Path } from "./path.ts";

export const LOADS: readonly Load[] = [...HTTP_LOADS, ...BULK_LOADS, ...UDP_LOADS];

export interface Latency {
  readonly p50Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
  readonly samples: number;
}

/** One path under one load. */
export interface PathResult {
  readonly path: string;
  readonly limit: string | undefined;
  readonly rate: Summary;
  readonly cpu: Summary;
  /** Rate beside the limit's in the same round. */
  readonly rateRatio: Summary | undefined;
  /** CPU time beside the limit's: above 1 is dearer. */
  readonly cpuRatio: Summary | undefined;
  readonly failed: number;
  readonly latency: Latency | undefined;
}

export interface LoadResult {
  readonly load: string;
  readonly title: string;
  readonly unit: Load["unit"];
  readonly cpuUnit: Load["cpuUnit"];
  readonly isPaced: boolean;
  readonly paths: readonly PathResult[];
}

/** All loads over all paths that carry them. */
export async function measureLoads(
  paths: readonly Path[],
  rounds: number,
  progress: Progress,
): Promise<LoadResult[]> {
  for (const path of paths) await warmUp(path);
  const results: LoadResult[] = [];
  for (const load of LOADS) {
    const runs = new Map<Path, Run[]>(
      paths.filter((path) => path.targets[load.served]).map((path) => [path, []]),
    );
    for (let round = 0; round < rounds; round++) {
      progress.step(`${load.title}: round ${round + 1} of ${rounds}`);
      for (const path of rotated([...runs.keys()], round)) {
        runs.get(path)?.push(await runOnce(load, path));
      }
    }
    results.push(resultOf(load, runs));
  }
  return results;
}

async function runOnce(load: Load, path: Path): Promise<Run> {
  const target = path.targets[load.served];
  if (target === undefined) throw new Error(`${path.name} does not carry ${load.served}`);
  try {
    return await load.run(path.client, target);
  } catch (cause) {
    throw new Error(`${load.title} over ${path.name}: ${messageOf(cause)}`, { cause });
  }
}

/** Whether every path leads somewhere, before anything is measured. */
async function warmUp(path: Path): Promise<void> {
  const target = path.targets.http;
  if (target === undefined) return;
  const url = `http://${target.address}:${target.port}/`;
  const ask = ["curl", "-sf", "--max-time", "2", url];
  await until(async () => (await path.client.exec(ask)).code === 0, {
    what: `an answer over the path ${path.name}`,
    timeoutMs: 20_000,
  });
}

function resultOf(load: Load, runs: ReadonlyMap<Path, readonly Run[]>): LoadResult {
  const byName = new Map([...runs].map(([path, done]) => [path.name, done]));
  const paths = [...runs].map(([path, done]): PathResult => {
    const limits = path.limit === undefined ? undefined : byName.get(path.limit);
    const ratio = (of: (run: Run) => number) =>
      limits === undefined ? undefined : pairedRatio(done.map(of), limits.map(of));
    return {
      path: path.name,
      limit: path.limit,
      rate: summarize(done.map((run) => run.rate)),
      cpu: summarize(done.map((run) => run.cpu)),
      rateRatio: ratio((run) => run.rate),
      cpuRatio: ratio((run) => run.cpu),
      failed: done.reduce((sum, run) => sum + run.failed, 0),
      latency: latencyOf(done),
    };
  });
  const { name, title, unit, cpuUnit, isPaced } = load;
  return { load: name, title, unit, cpuUnit, isPaced, paths };
}

/** Of the samples of all rounds together. */
function latencyOf(runs: readonly Run[]): Latency | undefined {
  const histograms = runs.flatMap(({ latency }) => (latency === undefined ? [] : [latency]));
  if (histograms.length === 0) return undefined;
  const merged = mergeHistograms(histograms);
  const samples = Math.round(merged.reduce((sum, [, count]) => sum + count, 0));
  const at = (share: number) => percentile(merged, share);
  return { p50Us: at(0.5), p99Us: at(0.99), p999Us: at(0.999), samples };
}
