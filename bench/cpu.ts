/**
 * CPU time of everything that the benchmark runs, all cores, softirq included: steadier than throughput where
 * cores are shared. It is that of a control group of its own, in which all it starts are born: what else
 * runs on the machine is not in it. The kernel's network work is done in the context of whoever sends, so it
 * is in it; what is left over for the kernel's own softirq threads is added.
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { assert } from "../src/base/assert.ts";
import { UnavailableError } from "../src/base/errors.ts";
import { hierarchies } from "../src/lab/cgroup.ts";
import { cleanUpAtExit } from "../src/lab/exit.ts";

const PREFIX = "weft-bench-";
const V1_USAGE = "cpuacct.usage";
const SOFTIRQ_THREAD = /^ksoftirqd\//;

interface Meter {
  readonly usage: () => number;
  readonly softirqThreads: readonly string[];
}

let meter: Meter | undefined;

/** Moves this process into a group of its own; without one nothing is measured, in other processes too. */
export function startCPUMeter(): { [Symbol.dispose](): void } {
  const { mountPoint, usageOf } = accounting();
  removeUnused(mountPoint);
  const group = join(mountPoint, `${PREFIX}${process.pid}`);
  mkdirSync(group);
  writeFileSync(join(group, "cgroup.procs"), `${process.pid}`);
  meter = { usage: () => usageOf(group), softirqThreads: softirqThreads() };
  const leave = () => {
    meter = undefined;
    writeFileSync(join(mountPoint, "cgroup.procs"), `${process.pid}`);
    removeUnused(mountPoint);
  };
  const forget = cleanUpAtExit(leave);
  return {
    [Symbol.dispose]() {
      forget();
      leave();
    },
  };
}

/** The hierarchy of control groups that counts CPU time: version 2 always does. */
function accounting(): { mountPoint: string; usageOf: (group: string) => number } {
  const mounted = hierarchies();
  const unified = mounted.find(({ version }) => version === 2);
  if (unified !== undefined) {
    const usageOf = (group: string) => parseUsage(readFileSync(join(group, "cpu.stat"), "utf8"));
    return { mountPoint: unified.mountPoint, usageOf };
  }
  const counting = mounted.find(({ mountPoint }) => existsSync(join(mountPoint, V1_USAGE)));
  if (counting === undefined)
    throw new UnavailableError("no control groups that count CPU time are mounted");
  const usageOf = (group: string) => Number(readFileSync(join(group, V1_USAGE), "utf8")) / 1e9;
  return { mountPoint: counting.mountPoint, usageOf };
}

/** One in which something still ends, after Ctrl-C, stays until the next benchmark. */
function removeUnused(mountPoint: string): void {
  for (const name of readdirSync(mountPoint).filter((one) => one.startsWith(PREFIX))) {
    try {
      rmdirSync(join(mountPoint, name));
    } catch {
      // It is in use: another benchmark's, or not yet empty.
    }
  }
}

/** Seconds so far. */
export function readCPUTime(): number {
  assert(meter !== undefined, "the CPU meter has not been started");
  const threads = meter.softirqThreads.map((pid) =>
    parseSchedstat(readFileSync(`/proc/${pid}/schedstat`, "utf8")),
  );
  return threads.reduce((sum, seconds) => sum + seconds, meter.usage());
}

/** Runs something and says how long all cores worked for it. */
export async function withCPUTime<Value>(
  action: () => Promise<Value>,
): Promise<{ readonly value: Value; readonly busyS: number }> {
  const before = readCPUTime();
  const value = await action();
  return { value, busyS: readCPUTime() - before };
}

/** `cpu.stat` of a control group, in seconds. */
export function parseUsage(stat: string): number {
  return Number(/^usage_usec (\d+)$/m.exec(stat)?.[1]) / 1e6;
}

/** `/proc/PID/schedstat`: time on a core in nanoseconds, time waiting for one, turns. */
export function parseSchedstat(stat: string): number {
  return Number(stat.split(" ")[0]) / 1e9;
}

function softirqThreads(): string[] {
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return SOFTIRQ_THREAD.test(readFileSync(`/proc/${pid}/comm`, "utf8"));
    } catch {
      return false; // it has ended
    }
  });
}

/** Fields of the "cpu" line of /proc/stat: user nice system idle iowait irq softirq steal. */
const [IDLE_FIELD, IOWAIT_FIELD] = [3, 4];
const FIELDS = 8;

/** Share of all cores' time in which one worked, between two readings of /proc/stat. */
export function busyShareOf(before: string, after: string): number {
  const ticksOf = (stat: string) => {
    const line = /^cpu +(.*)$/m.exec(stat)?.[1] ?? "";
    return line.split(/\s+/).slice(0, FIELDS).map(Number);
  };
  const earlier = ticksOf(before);
  const spent = ticksOf(after).map((ticks, field) => ticks - (earlier[field] ?? 0));
  const all = spent.reduce((sum, ticks) => sum + ticks, 0);
  const idle = (spent[IDLE_FIELD] ?? 0) + (spent[IOWAIT_FIELD] ?? 0);
  return all === 0 ? 0 : 1 - idle / all;
}
