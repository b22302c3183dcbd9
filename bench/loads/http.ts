/** HTTP by wrk, one thread: on kept connections, on a new one for each request, and at a given rate. */
import { LabError } from "../../src/lab/errors.ts";
import type { Place } from "../../src/lab/place.ts";
import { withCPUTime } from "../cpu.ts";
import { histogramOf } from "../stats.ts";
import type { Load, Run, Target } from "./load.ts";

/** wrk knows whole seconds only; more rounds are worth more than longer ones. */
const RUN_S = 1;
const SCRIPT = new URL("./wrk.lua", import.meta.url).pathname;

interface WrkInit {
  readonly connections: number;
  /** Mean pause of each connection before a request. */
  readonly pauseMs?: number;
  readonly closes?: boolean;
}

export const HTTP_LOADS: readonly Load[] = [
  httpLoad("keep-alive-1", "HTTP, 1 kept connection", { connections: 1 }),
  httpLoad("keep-alive-64", "HTTP, 64 kept connections", { connections: 64 }),
  httpLoad("new-connection", "HTTP, a new connection for each request", {
    connections: 32,
    closes: true,
  }),
  // 16 connections that pause 8 ms make some 1,900 requests/s, a tenth of what the slowest path can do.
  httpLoad("paced", "HTTP latency at 2,000 requests/s", { connections: 16, pauseMs: 8 }),
];

function httpLoad(name: string, title: string, init: WrkInit): Load {
  return {
    name,
    title,
    unit: "requests/s",
    cpuUnit: "µs/request",
    served: "http",
    isPaced: init.pauseMs !== undefined,
    run: (client, target) => runWrk(client, target, init),
  };
}

/** One run of wrk for one second. */
export async function runWrk(client: Place, target: Target, init: WrkInit): Promise<Run> {
  const closes = init.closes === true ? ["--header", "Connection: close"] : [];
  const argv = [
    ...["wrk", "--threads", "1", "--connections", `${init.connections}`],
    ...["--duration", `${RUN_S}s`, "--timeout", "2s", "--script", SCRIPT, ...closes],
    ...[`http://${target.address}:${target.port}/`, "--", `${init.pauseMs ?? 0}`],
  ];
  const { value, busyS } = await withCPUTime(() => client.exec(argv));
  const result = decode(value.stdout, value.stderr);
  const completed = result.requests - result.failed;
  return {
    rate: completed / (result.durationUs / 1e6),
    cpu: (busyS * 1e6) / Math.max(1, completed),
    failed: result.failed,
    latency: histogramOf(result.quantiles, result.requests),
  };
}

interface WrkResult {
  readonly requests: number;
  readonly durationUs: number;
  readonly failed: number;
  /** Percentage, and the latency in microseconds that so many requests did not exceed. */
  readonly quantiles: readonly (readonly [percent: number, latencyUs: number])[];
}

function decode(stdout: string, stderr: string): WrkResult {
  const line = /^RESULT (.*)$/m.exec(stdout)?.[1];
  if (line === undefined) throw new LabError(`wrk gave no result: ${stdout}${stderr}`);
  return JSON.parse(line) as WrkResult;
}
