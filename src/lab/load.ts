/**
 * A steady load of HTTP requests, TCP streams or DNS questions from a place of the lab, while something is done to the hosts.
 * The requests are made by load-worker.ts inside the place's network; this side starts it, watches
 * its progress and takes its result.
 */
import { LabError } from "./errors.ts";
import type { Incident, LoadCounts, LoadPlan } from "./load-plan.ts";
import type { Place } from "./place.ts";
import type { Service } from "./process.ts";
import { until } from "./until.ts";

export type { Incident, LoadCounts } from "./load-plan.ts";

export interface LoadInit {
  /** Asked in turn, so that one load goes through all hosts: all of one scheme, http, tcp or udp (load-plan.ts). */
  readonly urls: readonly string[];
  /** Requests under way at a time. */
  readonly connections?: number;
  /** Whether each keeps its connection; otherwise every request makes its own. */
  readonly keepAlive?: boolean;
  readonly timeoutMs?: number;
  /** Pause of each connection between two requests. */
  readonly pauseMs?: number;
  /** How long each TCP stream is sent. */
  readonly streamMs?: number;
}

const WORKER = new URL(`./load-worker${import.meta.url.slice(-3)}`, import.meta.url).pathname;

/** Starts a load; resolves when its first request has ended. */
export async function startLoad(from: Place, init: LoadInit): Promise<Load> {
  const { urls, connections = 4, keepAlive = false, timeoutMs = 5_000, pauseMs = 2 } = init;
  const { streamMs = 1_000 } = init;
  const plan: LoadPlan = { urls, connections, keepAlive, timeoutMs, pauseMs, streamMs };
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
    const last = this.#lines().findLast((line) => !line.startsWith(INCIDENT));
    return last === undefined ? NOTHING_YET : (this.#parse(last) as LoadCounts);
  }

  /** The requests that failed or were delayed so far, in the order in which they ended. */
  incidents(): readonly Incident[] {
    const lines = this.#lines().filter((line) => line.startsWith(INCIDENT));
    return lines.map((line) => (this.#parse(line) as { incident: Incident }).incident);
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

  #lines(): string[] {
    const output = this.#worker.output();
    const complete = output.slice(0, output.lastIndexOf("\n") + 1).trimEnd();
    return complete === "" ? [] : complete.split("\n");
  }

  #parse(line: string): unknown {
    try {
      return JSON.parse(line);
    } catch (cause) {
      const output = this.#worker.output().slice(-2_000);
      throw new LabError(`the load's process failed:\n${output}`, { cause });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.end("SIGKILL");
  }
}

const INCIDENT = '{"incident"';

const NOTHING_YET: LoadCounts = {
  sent: 0,
  failed: 0,
  retried: 0,
  delayed: 0,
  errors: {},
  answers: {},
  slowestMs: 0,
};
