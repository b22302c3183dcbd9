/** UDP request and reply: a few flows, each with one datagram under way. */
import { LabError } from "../../src/lab/errors.ts";
import type { Place } from "../../src/lab/place.ts";
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
  const { stdout, stderr } = await client.exec([process.execPath, CLIENT, JSON.stringify(plan)]);
  if (stdout === "") throw new LabError(`the UDP client failed: ${stderr}`);
  const { answered, lost, seconds, busyS, latencyUs } = JSON.parse(stdout) as UDPCounts;
  return {
    rate: answered / seconds,
    cpu: (busyS * 1e6) / Math.max(1, answered),
    failed: lost,
    latency: latencyUs,
  };
}
