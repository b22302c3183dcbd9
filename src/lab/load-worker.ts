/**
 * The load's own process: `node load-worker.ts PLAN` makes requests until SIGTERM and prints its
 * counts as one line of JSON, ten times a second and at the end, and a line for each incident.
 */
import { setTimeout as pause } from "node:timers/promises";
import { dnsAsking } from "./load-dns.ts";
import { httpAsking } from "./load-http.ts";
import {
  type Asking,
  DELAYED_MS,
  type Incident,
  type LoadCounts,
  type LoadPlan,
  type Outcome,
} from "./load-plan.ts";
import { streamAsking } from "./load-stream.ts";

type Tally = { -readonly [Key in keyof LoadCounts]: LoadCounts[Key] } & {
  errors: Record<string, number>;
  answers: Record<string, number>;
};

const REPORT_MS = 100;
/** First lines beyond this many are counted together: the body does not name a task. */
const ANSWERS_MAX = 1_000;
/** Incidents beyond this many are only counted. */
const INCIDENTS_MAX = 10_000;

const ASKINGS: Readonly<Record<string, (plan: LoadPlan) => Asking>> = {
  "http:": httpAsking,
  "tcp:": streamAsking,
  "udp:": dnsAsking,
};

async function main(plan: LoadPlan): Promise<void> {
  const tally: Tally = {
    ...{ sent: 0, failed: 0, retried: 0, delayed: 0, slowestMs: 0 },
    errors: {},
    answers: {},
  };
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
  const urls = plan.urls.map((url) => new URL(url));
  const asking = ASKINGS[urls[0]?.protocol ?? ""]?.(plan);
  if (asking === undefined) throw new Error(`no load of ${plan.urls[0]}`);
  for (let turn = index; !stop.aborted; turn++) {
    const url = urls[turn % urls.length] as URL;
    const at = Date.now();
    const startedAt = performance.now();
    const outcome = await askAgainIfClosed(asking, url, tally);
    const tookMs = Math.round(outcome.waitedMs ?? performance.now() - startedAt);
    note(tally, { at, url: url.href, tookMs }, outcome);
    await pause(plan.pauseMs, undefined, { signal: stop }).catch(() => {});
  }
  asking.close();
}

function note(tally: Tally, request: Incident, { error, firstLine }: Outcome): void {
  tally.sent++;
  tally.slowestMs = Math.max(tally.slowestMs, request.tookMs);
  const isDelayed = request.tookMs > DELAYED_MS;
  if (isDelayed) tally.delayed++;
  if (error === undefined) countAnswer(tally.answers, firstLine);
  else {
    tally.failed++;
    count(tally.errors, error);
  }
  if (error === undefined && !isDelayed) return;
  if (tally.failed + tally.delayed > INCIDENTS_MAX) return;
  const incident: Incident = { ...request, ...(error === undefined ? {} : { error }) };
  process.stdout.write(`${JSON.stringify({ incident })}\n`);
}

/** A kept connection per host at most, so at most this many can have been closed in between. */
const CLOSED_CONNECTIONS_MAX = 8;

async function askAgainIfClosed(asking: Asking, url: URL, tally: Tally): Promise<Outcome> {
  for (let attempt = 0; ; attempt++) {
    const outcome = await asking.ask(url);
    tally.retried += outcome.retries ?? 0;
    if (!outcome.closedBeforeAnswer || attempt === CLOSED_CONNECTIONS_MAX) return outcome;
    tally.retried++;
  }
}

function countAnswer(answers: Record<string, number>, firstLine: string): void {
  const known = firstLine in answers || Object.keys(answers).length < ANSWERS_MAX;
  count(answers, known ? firstLine : "(others)");
}

function count(counts: Record<string, number>, key: string): void {
  counts[key] = (counts[key] ?? 0) + 1;
}

if (import.meta.main) await main(JSON.parse(process.argv[2] ?? "{}") as LoadPlan);
