/**
 * The load's own process: `node load-worker.ts PLAN` makes requests until SIGTERM and prints its
 * counts as one line of JSON, ten times a second and at the end.
 */
import { Agent, get } from "node:http";
import { setTimeout as pause } from "node:timers/promises";

export interface LoadPlan {
  readonly urls: readonly string[];
  readonly connections: number;
  readonly keepAlive: boolean;
  readonly timeoutMs: number;
  readonly pauseMs: number;
}

export interface LoadCounts {
  /** Requests that have ended, failed ones included. */
  readonly sent: number;
  /** Without a complete answer of status 200. */
  readonly failed: number;
  /**
   * Requests made again because a kept connection was closed before any answer: every HTTP client
   * does so (RFC 9110 §9.2.2), as a server may close an idle connection while a request is on its way.
   */
  readonly retried: number;
  /** Failures by kind: an errno, "timeout", or "status 502". */
  readonly errors: Readonly<Record<string, number>>;
  /** Answers by their first line: which task, from the lab's nginx. */
  readonly answers: Readonly<Record<string, number>>;
  readonly slowestMs: number;
}

interface Tally {
  sent: number;
  failed: number;
  retried: number;
  errors: Record<string, number>;
  answers: Record<string, number>;
  slowestMs: number;
}

const REPORT_MS = 100;
/** First lines beyond this many are counted together: the body does not name a task. */
const ANSWERS_MAX = 1_000;

async function main(plan: LoadPlan): Promise<void> {
  const tally: Tally = { sent: 0, failed: 0, retried: 0, errors: {}, answers: {}, slowestMs: 0 };
  const stop = new AbortController();
  process.on("SIGTERM", () => stop.abort());
  const report = () => process.stdout.write(`${JSON.stringify(tally)}\n`);
  const reporting = setInterval(report, REPORT_MS);
  const workers = Array.from({ length: plan.connections }, (_, index) =>
    work(plan, index, tally, stop.signal),
  );
  await Promise.all(workers);
  clearInterval(reporting);
  report();
}

async function work(plan: LoadPlan, index: number, tally: Tally, stop: AbortSignal): Promise<void> {
  const agent = plan.keepAlive ? new Agent({ keepAlive: true, maxSockets: 1 }) : undefined;
  for (let turn = index; !stop.aborted; turn++) {
    const startedAt = performance.now();
    const outcome = await askAgainIfClosed(plan, turn, agent, tally);
    tally.sent++;
    tally.slowestMs = Math.max(tally.slowestMs, Math.round(performance.now() - startedAt));
    if (outcome.error === undefined) countAnswer(tally.answers, outcome.firstLine);
    else {
      tally.failed++;
      count(tally.errors, outcome.error);
    }
    await pause(plan.pauseMs, undefined, { signal: stop }).catch(() => {});
  }
  agent?.destroy();
}

interface Outcome {
  readonly error: string | undefined;
  readonly firstLine: string;
  /** True when a kept connection ended before any answer to this request. */
  readonly closedBeforeAnswer: boolean;
}

/** A kept connection per host at most, so at most this many can have been closed in between. */
const CLOSED_CONNECTIONS_MAX = 8;

async function askAgainIfClosed(
  plan: LoadPlan,
  turn: number,
  agent: Agent | undefined,
  tally: Tally,
): Promise<Outcome> {
  const url = plan.urls[turn % plan.urls.length] ?? "";
  for (let attempt = 0; ; attempt++) {
    const outcome = await ask(url, agent, plan.timeoutMs);
    if (!outcome.closedBeforeAnswer || attempt === CLOSED_CONNECTIONS_MAX) return outcome;
    tally.retried++;
  }
}

function ask(url: string, agent: Agent | undefined, timeoutMs: number): Promise<Outcome> {
  return new Promise((resolve) => {
    let answered = false;
    const signal = AbortSignal.timeout(timeoutMs);
    const request = get(url, { agent: agent ?? false, signal }, (response) => {
      answered = true;
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => (body += chunk));
      response.once("error", fail);
      response.once("end", () => {
        const error = response.statusCode === 200 ? undefined : `status ${response.statusCode}`;
        resolve({ error, firstLine: body.split("\n", 1)[0] ?? "", closedBeforeAnswer: false });
      });
    });
    request.once("error", fail);
    function fail(cause: NodeJS.ErrnoException) {
      const error = signal.aborted ? "timeout" : (cause.code ?? cause.message);
      const closed = error === "ECONNRESET" || error === "EPIPE";
      const closedBeforeAnswer = closed && request.reusedSocket && !answered;
      resolve({ error, firstLine: "", closedBeforeAnswer });
    }
  });
}

function countAnswer(answers: Record<string, number>, firstLine: string): void {
  const known = firstLine in answers || Object.keys(answers).length < ANSWERS_MAX;
  count(answers, known ? firstLine : "(others)");
}

function count(counts: Record<string, number>, key: string): void {
  counts[key] = (counts[key] ?? 0) + 1;
}

if (import.meta.main) await main(JSON.parse(process.argv[2] ?? "{}") as LoadPlan);
