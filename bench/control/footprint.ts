/** Memory and CPU that a cluster's own programs take on a worker, with nothing to do. */
import { setTimeout as pause } from "node:timers/promises";
import type { Host } from "../../src/lab/host.ts";
import type { ClusterKind } from "./cluster.ts";

/** Command lines of the programs, the monitors that Weft's daemon starts among them, without the containers' shims. */
const PROGRAMS: Readonly<Record<ClusterKind, RegExp>> = {
  Weft: /(^|\/)(weft|cli\/main\.(js|ts)|keeper\/main\.(js|ts))\b.*\b(daemon|keeper)|keeper\/main\.(js|ts)|^(nft|ip) .*\bmonitor\b/,
  "Docker Swarm": /^(\S*\/)?(dockerd|containerd)( |$)/,
};
const REST_MS = 5_000;
const TICKS_PER_SECOND = 100;

export interface Footprint {
  /** Command to resident bytes. */
  readonly programs: readonly { readonly program: string; readonly residentBytes: number }[];
  /** RSS: what several of the programs share counts for each. */
  readonly residentBytes: number;
  /** PSS: what is shared counts once, divided among all that share it, on the other hosts of the lab too. */
  readonly proportionalBytes: number;
  /** Of one core. */
  readonly cpuShare: number;
}

export async function footprintOf(host: Host, kind: ClusterKind): Promise<Footprint> {
  const before = await programsOf(host, kind);
  const start = performance.now();
  await pause(REST_MS);
  const after = await programsOf(host, kind);
  const seconds = (performance.now() - start) / 1_000;
  const ticks = sum(after, "ticks") - sum(before, "ticks");
  return {
    programs: after.map(({ program, residentBytes }) => ({ program, residentBytes })),
    residentBytes: sum(after, "residentBytes"),
    proportionalBytes: sum(after, "proportionalBytes"),
    cpuShare: ticks / TICKS_PER_SECOND / seconds,
  };
}

interface Program {
  readonly program: string;
  readonly residentBytes: number;
  readonly proportionalBytes: number;
  readonly ticks: number;
}

function sum(
  programs: readonly Program[],
  key: "residentBytes" | "proportionalBytes" | "ticks",
): number {
  return programs.reduce((total, program) => total + program[key], 0);
}

/** In the host's own process namespace, so that no other host's programs are counted. */
async function programsOf(host: Host, kind: ClusterKind): Promise<Program[]> {
  const listed = await host.execOk(["ps", "-eo", "pid=,rss=,args=", "-ww"]);
  const rows = listed.split("\n").flatMap((line) => {
    const [, pid = "", kilobytes = "", args = ""] = /^ *(\d+) +(\d+) (.*)$/.exec(line) ?? [];
    return PROGRAMS[kind].test(args) ? [{ pid, kilobytes, args }] : [];
  });
  return await Promise.all(
    rows.map(async ({ pid, kilobytes, args }) => ({
      program: args,
      residentBytes: Number(kilobytes) * 1_024,
      proportionalBytes: pssOf(await host.execOk(["cat", `/proc/${pid}/smaps_rollup`])),
      ticks: ticksOf(await host.execOk(["cat", `/proc/${pid}/stat`])),
    })),
  );
}

function pssOf(rollup: string): number {
  return Number(/^Pss: +(\d+) kB$/m.exec(rollup)?.[1]) * 1_024;
}

/** utime and stime, fields 14 and 15; the name before them may hold blanks. */
function ticksOf(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return Number(fields[11]) + Number(fields[12]);
}
