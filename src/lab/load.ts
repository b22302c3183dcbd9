/**
 * A steady load of HTTP requests, TCP streams or DNS questions from a place of the lab, while something is done to the hosts.
 * The requests are made by load-worker.ts inside the place's network; this side starts it, watches
 * its progress and takes its result.
 */
import { LabError } from "./errors.ts";
import type { Incident, LoadCounts, LoadPlan } from "./load-plan.ts";
import { NewLines } from "./new-lines.ts";
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
  readonly #lines: NewLines;
  #counts: LoadCounts = NOTHING_YET;
  readonly #incidents: Incident[] = [];

  constructor(worker: Service) {
    this.#worker = worker;
    this.#lines = new NewLines(worker.logFile);
  }

  /** What has ended so far, a tenth of a second ago at most. */
  progress(): LoadCounts {
    this.#read();
    return this.#counts;
  }

  /** The requests that failed or were delayed so far, in the order in which they ended. */
  incidents(): readonly Incident[] {
    this.#read();
    return [...this.#incidents];
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

  #read(): void {
    const lines = this.#lines.take();
    for (const line of lines.filter(isIncident)) {
      this.#incidents.push((this.#parse(line) as { incident: Incident }).incident);
    }
    // Each account is of all so far: the last one counts.
    const last = lines.findLast((line) => !isIncident(line));
    if (last !== undefined) this.#counts = this.#parse(last) as LoadCounts;
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

function isIncident(line: string): boolean {
  return line.startsWith(INCIDENT);
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
