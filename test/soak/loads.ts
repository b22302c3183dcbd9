/** The loads that run during a soak: each kind of client against all hosts at once. */
import {
  type Incident,
  type Load,
  type LoadCounts,
  type LoadInit,
  startLoad,
} from "../../src/lab/load.ts";
import { DNS_PORT, ECHO_PORT, type SoakCluster, WEB_PORT } from "./cluster.ts";

export const LOADS = ["http fresh", "http kept", "tcp streams", "udp fresh", "udp kept"] as const;
export type LoadName = (typeof LOADS)[number];

const UDP = { scheme: "udp", port: DNS_PORT, connections: 2, pauseMs: 10, timeoutMs: 1_000 };
const KINDS: Readonly<Record<LoadName, Omit<LoadInit, "urls"> & { scheme: string; port: number }>> =
  {
    "http fresh": { scheme: "http", port: WEB_PORT, connections: 4, pauseMs: 20 },
    "http kept": { scheme: "http", port: WEB_PORT, connections: 4, pauseMs: 20, keepAlive: true },
    "tcp streams": { scheme: "tcp", port: ECHO_PORT, connections: 4, streamMs: 750 },
    "udp fresh": UDP,
    "udp kept": { ...UDP, keepAlive: true },
  };

/** What happened in a span of time. */
export interface LoadSpan {
  readonly sent: number;
  readonly failed: number;
  readonly retried: number;
  readonly delayed: number;
  readonly slowestMs: number;
  readonly errors: Readonly<Record<string, number>>;
  readonly incidents: readonly Incident[];
}

export class Loads implements AsyncDisposable {
  readonly #loads: ReadonlyMap<LoadName, Load>;

  private constructor(loads: ReadonlyMap<LoadName, Load>) {
    this.#loads = loads;
  }

  /** `pace`: how many times longer clients pause between requests than they do in a soak. */
  static async start(cluster: SoakCluster, pace = 1): Promise<Loads> {
    const start = async (name: LoadName) => {
      const { scheme, port, pauseMs, ...others } = KINDS[name];
      const init = pauseMs === undefined ? others : { ...others, pauseMs: pauseMs * pace };
      const urls = cluster.lab.hosts.map(({ ip }) => `${scheme}://${ip}:${port}/`);
      return [name, await startLoad(cluster.lab.client(), { ...init, urls })] as const;
    };
    return new Loads(new Map(await Promise.all(LOADS.map(start))));
  }

  /** Starts a span; the function ends it, once every load has gone over what was done. */
  watch(): () => Promise<ReadonlyMap<LoadName, LoadSpan>> {
    const before = new Map([...this.#loads].map(([name, load]) => [name, marksOf(load)]));
    return async () => {
      await Promise.all([...this.#loads.values()].map((load) => load.more(ROUNDS)));
      const spans = [...this.#loads].map(([name, load]) => {
        return [name, spanOf(before.get(name) ?? NOTHING, marksOf(load))] as const;
      });
      return new Map(spans);
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#loads.values()].map((load) => load[Symbol.asyncDispose]()));
  }
}

/** So many more requests of each load end before a span does: each of its connections has made some. */
const ROUNDS = 8;

interface Marks {
  readonly counts: LoadCounts;
  readonly incidents: readonly Incident[];
}

const NOTHING: Marks = {
  counts: { sent: 0, failed: 0, retried: 0, delayed: 0, errors: {}, answers: {}, slowestMs: 0 },
  incidents: [],
};

function marksOf(load: Load): Marks {
  return { counts: load.progress(), incidents: load.incidents() };
}

function spanOf(before: Marks, after: Marks): LoadSpan {
  const incidents = after.incidents.slice(before.incidents.length);
  const errors: Record<string, number> = {};
  for (const { error } of incidents) {
    if (error !== undefined) errors[error] = (errors[error] ?? 0) + 1;
  }
  return {
    sent: after.counts.sent - before.counts.sent,
    failed: after.counts.failed - before.counts.failed,
    retried: after.counts.retried - before.counts.retried,
    delayed: after.counts.delayed - before.counts.delayed,
    slowestMs: Math.max(0, ...incidents.map(({ tookMs }) => tookMs)),
    errors,
    incidents,
  };
}
