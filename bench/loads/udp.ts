/** UDP request and reply: a few flows, each with one datagram under way. */
import { LabError } from "../../src/lab/errors.ts";
import type { Place } from "../../src/lab/place.ts";
import { withCPUTime } from "../cpu.ts";
import type { Load, Run, Target } from "./load.ts";
import type { UDPCounts, UDPPlan } from "./udp-client.ts";

const CLIENT = new URL("./udp-client.ts", import.meta.url).pathname;
const FLOWS = 16;
const RUN_MS = 1_000;

export const UDP_LOADS: readonly Load[] = [
  {
    name: "udp",
    title: `UDP request and reply, ${FLOWS} flows`,
    unit: "requests/s",
    cpuUnit: "µs/request",
    served: "udp",
    isPaced: false,
    run: runUDP,
  },
];

async function runUDP(client: Place, target: Target): Promise<Run> {
  const plan: UDPPlan = { ...target, flows: FLOWS, forMs: RUN_MS };
  const argv = [process.execPath, CLIENT, JSON.stringify(plan)];
  const { value, busyS } = await withCPUTime(() => client.exec(argv));
  if (value.stdout === "") throw new LabError(`the UDP client failed: ${value.stderr}`);
  const counts = JSON.parse(value.stdout) as UDPCounts;
  const { answered, lost, seconds, latencyUs, answeredInAll, startS } = counts;
  return {
    rate: answered / seconds,
    cpu: ((busyS - startS) * 1e6) / Math.max(1, answeredInAll),
    failed: lost,
    latency: latencyUs,
  };
}
