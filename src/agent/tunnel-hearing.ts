/**
 * How long ago a peer's own packet was heard through the tunnel. Every node pings every other now and then, and conntrack
 * remembers who has: so a node whose pings are not answered knows whether the way back is open.
 */

import { type RunTool, runTool } from "../datapath/run.ts";
import { readSysctl } from "../datapath/sysctl.ts";

const ICMP_TIMEOUT = "net/netfilter/nf_conntrack_icmp_timeout";

/** At least so many milliseconds; undefined when nothing is remembered. `address` is the peer's in the overlay. */
export type LastHeard = (address: string) => Promise<number | undefined>;

/** From conntrack, which counts the seconds down that it remembers a ping for. */
export function heardByConntrack(run: RunTool = runTool): LastHeard {
  return async (address) => {
    const { stdout } = await run("conntrack", ["-L", "-p", "icmp", "-s", address]);
    return lastHeardMs(stdout, Number(readSysctl(ICMP_TIMEOUT)));
  };
}

/** `flows` is what `conntrack -L -p icmp` prints; pure. */
export function lastHeardMs(flows: string, timeoutS: number): number | undefined {
  const left = [...flows.matchAll(/^icmp +\d+ (\d+) .*\btype=8\b/gm)].map(([, seconds]) =>
    Number(seconds),
  );
  if (left.length === 0 || !Number.isFinite(timeoutS)) return undefined;
  return Math.max(0, timeoutS - Math.max(...left)) * 1_000;
}
