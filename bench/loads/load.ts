/** What is asked of a path: one file per kind of load in this directory, all run the same way. */
import type { Place } from "../../src/lab/place.ts";
import type { Histogram } from "../stats.ts";

/** What a task serves; a path leads to each of them, or cannot. */
export const SERVED = ["http", "bulk", "udp"] as const;
export type Served = (typeof SERVED)[number];

/** Where a client asks. */
export interface Target {
  readonly address: string;
  readonly port: number;
}

/** One short run of a load over one path. */
export interface Run {
  /** In the load's unit. */
  readonly rate: number;
  /** CPU time of all that takes part (cpu.ts) for one request, or for one gigabyte: microseconds or seconds. */
  readonly cpu: number;
  /** Requests without a right answer. */
  readonly failed: number;
  /** Latencies in microseconds, where the load measures them. */
  readonly latency?: Histogram;
}

export interface Load {
  readonly name: string;
  readonly title: string;
  readonly unit: "requests/s" | "Gbit/s";
  readonly cpuUnit: "µs/request" | "s/GB";
  readonly served: Served;
  /** True where the rate is given and only the latency is a result. */
  readonly isPaced: boolean;
  run(client: Place, target: Target): Promise<Run>;
}
