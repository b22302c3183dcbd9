/** Bulk TCP by iperf3, one stream, in both directions. */
import { LabError } from "../../src/lab/errors.ts";
import type { Place } from "../../src/lab/place.ts";
import { withCPUTime } from "../cpu.ts";
import type { Load, Run, Target } from "./load.ts";

const RUN_S = 1;

export const BULK_LOADS: readonly Load[] = [
  bulkLoad("bulk-up", "TCP, one stream to the task", []),
  bulkLoad("bulk-down", "TCP, one stream from the task", ["--reverse"]),
];

function bulkLoad(name: string, title: string, flags: readonly string[]): Load {
  return {
    name,
    title,
    unit: "Gbit/s",
    cpuUnit: "s/GB",
    served: "bulk",
    isPaced: false,
    run: (client, target) => runIperf(client, target, flags),
  };
}

async function runIperf(client: Place, target: Target, flags: readonly string[]): Promise<Run> {
  const argv = [
    ...["iperf3", "--client", target.address, "--port", `${target.port}`],
    ...["--time", `${RUN_S}`, "--json", "--connect-timeout", "2000", ...flags],
  ];
  const { value, busyS } = await withCPUTime(() => client.exec(argv));
  const { bytes, bitsPerS } = decode(value.stdout);
  return { rate: bitsPerS / 1e9, cpu: busyS / (bytes / 1e9), failed: 0 };
}

function decode(stdout: string): { bytes: number; bitsPerS: number } {
  const result = JSON.parse(stdout) as {
    error?: string;
    end?: { sum_received?: { bytes: number; bits_per_second: number } };
  };
  const received = result.end?.sum_received;
  if (received === undefined) throw new LabError(`iperf3: ${result.error ?? stdout}`);
  return { bytes: received.bytes, bitsPerS: received.bits_per_second };
}
