/** One HTTP request from a place of the lab, by curl: a connection of its own each time. */
import { LabError } from "./errors.ts";
import type { Place } from "./place.ts";
import { until } from "./until.ts";

export interface HttpGetOptions {
  readonly timeoutMs?: number;
  /** The client's own port, to meet a connection that has used it. */
  readonly localPort?: number;
  /** The client's own address or interface. */
  readonly interface?: string;
}

/** Why there was no answer, in the kernel's words where it gave one. */
export const HTTP_FAILURES = ["refused", "reset", "unreachable", "timeout", "other"] as const;
export type HttpFailure = (typeof HTTP_FAILURES)[number];

export interface HttpOutcome {
  /** Undefined when the request was answered. */
  readonly failure: HttpFailure | undefined;
  /** 0 without an answer. */
  readonly status: number;
  readonly body: string;
  readonly elapsedMs: number;
  /** curl's account of it, for a failed assertion. */
  readonly detail: string;
}

const TIMEOUT_MS = 5_000;
const MARK = "\n--weft-lab-- ";

/** Asks once and says how it went; never rejects for want of an answer. */
export async function tryGet(
  from: Place,
  url: string,
  options: HttpGetOptions = {},
): Promise<HttpOutcome> {
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  const argv = ["curl", "-sv", "--globoff", "--max-time", String(timeoutMs / 1_000)];
  if (options.localPort !== undefined) argv.push("--local-port", String(options.localPort));
  if (options.interface !== undefined) argv.push("--interface", options.interface);
  argv.push("--write-out", `${MARK}%{http_code} %{time_total}`, url);
  const { code, stdout, stderr } = await from.exec(argv, { timeoutMs: timeoutMs + 5_000 });
  const mark = stdout.lastIndexOf(MARK);
  const [status, seconds] = stdout
    .slice(mark + MARK.length)
    .split(" ")
    .map(Number);
  return {
    failure: code === 0 ? undefined : failureOf(code, stderr),
    status: status ?? 0,
    body: mark < 0 ? stdout : stdout.slice(0, mark),
    elapsedMs: Math.round((seconds ?? 0) * 1_000),
    detail: `${from.name} → ${url}: curl exit status ${code}\n${stderr}`,
  };
}

/** Asks once; rejects unless the answer is 200, with curl's account of it. */
export async function httpGet(
  from: Place,
  url: string,
  options: HttpGetOptions = {},
): Promise<HttpOutcome> {
  const outcome = await tryGet(from, url, options);
  if (outcome.status !== 200) throw new LabError(`${outcome.detail}${outcome.body}`);
  return outcome;
}

/** Asks until the answer is 200: a container is started before its program listens. */
export async function untilAnswered(from: Place, url: string, timeoutMs = 10_000): Promise<void> {
  const answered = async () => (await tryGet(from, url, { timeoutMs: 1_000 })).status === 200;
  await until(answered, { what: `an answer of ${url} to ${from.name}`, timeoutMs });
}

/** curl's exit status for "operation timed out". */
const CURL_TIMED_OUT = 28;

function failureOf(code: number, stderr: string): HttpFailure {
  if (/Connection refused/.test(stderr)) return "refused";
  if (/reset by peer|Empty reply/.test(stderr)) return "reset";
  if (/No route to host|Network is unreachable|Host is unreachable/.test(stderr))
    return "unreachable";
  return code === CURL_TIMED_OUT ? "timeout" : "other";
}
