/**
 * A steady load of HTTP requests from a place of the lab, while something is done to the hosts.
 * The requests are made by load-worker.ts inside the place's network; this side starts it, watches
 * its progress and takes its result.
 */
import { LabError } from "./errors.ts";
import type { LoadCounts, LoadPlan } from "./load-worker.ts";
import type { Place } from "./place.ts";
import type { Service } from "./process.ts";
import { until } from "./until.ts";

export type { LoadCounts } from "./load-worker.ts";

export interface LoadInit {
  /** Asked in turn, so that one load goes through all hosts. */
  readonly urls: readonly string[];
  /** Requests under way at a time. */
  readonly connections?: number;
  /** Whether each keeps its connection; otherwise every request makes its own. */
  readonly keepAlive?: boolean;
  readonly timeoutMs?: number;
  /** Pause of each connection between two requests. */
  readonly pauseMs?: number;
}

const WORKER = new URL(`./load-worker${import.meta.url.slice(-3)}`, import.meta.url).pathname;

/** Starts a load; resolves when its first request has ended. */
export async function startLoad(from: Place, init: LoadInit): Promise<Load> {
  const { urls, connections = 4, keepAlive = false, timeoutMs = 5_000, pauseMs = 2 } = init;
  const plan: LoadPlan = { urls, connections, keepAlive, timeoutMs, pauseMs };
  const argv = [process.execPath, "--disable-warning=ExperimentalWarning", WORKER];
  const worker = await from.spawn([...argv, JSON.stringify(plan)]);
  const load = new Load(worker);
  await until(() => !worker.running || load.progress().sent > 0, {
    what: `the first request from ${from.name} to ${urls[0]}`,
    timeoutMs: timeoutMs + 10_000,
  });
  return load;
}

export class Load implements AsyncDisposable {
  readonly #worker: Service;

  constructor(worker: Service) {
    this.#worker = worker;
  }

  /** What has ended so far, a tenth of a second ago at most. */
  progress(): LoadCounts {
    const output = this.#worker.output();
    const complete = output.slice(0, output.lastIndexOf("\n") + 1).trimEnd();
    const last = complete.slice(complete.lastIndexOf("\n") + 1);
    if (last === "") return NOTHING_YET;
    try {
      return JSON.parse(last) as LoadCounts;
    } catch (cause) {
      throw new LabError(`the load's process failed:\n${output.slice(-2_000)}`, { cause });
    }
  }

  /** Waits until this many more requests have ended: the load has gone over what was just done. */
  async more(requests: number, timeoutMs = 30_000): Promise<void> {
    const goal = this.progress().sent + requests;
    const what = `${requests} more requests of a load`;
    await until(() => this.progress().sent >= goal, { what, timeoutMs });
  }

  /** Lets the requests under way end, and resolves with the totals. */
  async stop(): Promise<LoadCounts> {
    const status = await this.#worker.end("SIGTERM");
    const counts = this.progress();
    if (status !== 0) throw new LabError(`the load's process ended with status ${status}`);
    return counts;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.end("SIGKILL");
  }
}

const NOTHING_YET: LoadCounts = {
  sent: 0,
  failed: 0,
  retried: 0,
  errors: {},
  answers: {},
  slowestMs: 0,
};
