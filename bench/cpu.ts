/** CPU time of the whole machine, all cores, softirq included: steadier than throughput where cores are shared. */
import { readFileSync } from "node:fs";

/** /proc/stat counts in hundredths of a second, on every architecture that Linux runs on (USER_HZ). */
const TICKS_PER_SECOND = 100;
/** Fields of the "cpu" line: user nice system idle iowait irq softirq steal. */
const IDLE_FIELDS = new Set([3, 4]);
const STEAL_FIELD = 7;

export interface CPUTime {
  /** Seconds in which some core worked. */
  readonly busyS: number;
  /** Seconds that the hypervisor gave to others. */
  readonly stolenS: number;
}

export function readCPUTime(): CPUTime {
  return parseCPUTime(readFileSync("/proc/stat", "utf8"));
}

export function parseCPUTime(stat: string): CPUTime {
  const line = /^cpu +(.*)$/m.exec(stat)?.[1] ?? "";
  const ticks = line.split(/\s+/).slice(0, STEAL_FIELD + 1);
  const busy = ticks
    .filter((_, field) => !IDLE_FIELDS.has(field) && field !== STEAL_FIELD)
    .reduce((sum, count) => sum + Number(count), 0);
  return {
    busyS: busy / TICKS_PER_SECOND,
    stolenS: Number(ticks[STEAL_FIELD] ?? 0) / TICKS_PER_SECOND,
  };
}

/** Runs something and says how long all cores worked meanwhile. */
export async function withCPUTime<Value>(
  action: () => Promise<Value>,
): Promise<{ readonly value: Value; readonly busyS: number }> {
  const before = readCPUTime();
  const value = await action();
  return { value, busyS: readCPUTime().busyS - before.busyS };
}
