/** One DNS question from a place of the lab, over UDP or TCP, from a port of its own or a given one. */
import type { DnsAnswer, DnsQuestion } from "./dns-worker.ts";
import { LabError } from "./errors.ts";
import type { Place } from "./place.ts";

export type { DnsAnswer } from "./dns-worker.ts";

export interface DnsQueryInit {
  readonly server: string;
  readonly name: string;
  readonly port?: number;
  readonly type?: "A" | "TXT";
  readonly protocol?: "udp" | "tcp";
  readonly timeoutMs?: number;
  /** How often the question is asked, each time from a fresh port; 1 when absent. */
  readonly times?: number;
}

const WORKER = new URL(`./dns-worker${import.meta.url.slice(-3)}`, import.meta.url).pathname;

/** Resolves with one answer per time asked; an answer says when there was none, and why. */
export async function dnsQuery(from: Place, init: DnsQueryInit): Promise<DnsAnswer[]> {
  const question: Required<DnsQuestion> = {
    server: init.server,
    name: init.name,
    port: init.port ?? 53,
    type: init.type ?? "A",
    protocol: init.protocol ?? "udp",
    timeoutMs: init.timeoutMs ?? 2_000,
    times: init.times ?? 1,
  };
  const argv = [process.execPath, "--disable-warning=ExperimentalWarning", WORKER];
  const timeoutMs = question.timeoutMs * question.times + 10_000;
  const result = await from.exec([...argv, JSON.stringify(question)], { timeoutMs });
  if (result.code !== 0) throw new LabError(`asking from ${from.name} failed: ${result.stderr}`);
  return JSON.parse(result.stdout) as DnsAnswer[];
}
