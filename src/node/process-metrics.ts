/** What every Prometheus client says of its process, and which Weft this is. */
import { counter, gauge, type MetricFamily } from "../base/metrics.ts";
import { VERSION } from "../base/version.ts";

const MICROSECONDS_PER_SECOND = 1_000_000;

export function processFamilies(): readonly MetricFamily[] {
  const { user, system } = process.cpuUsage();
  const startedAt = Math.round(performance.timeOrigin / 10) / 100;
  return [
    gauge("weft_build_info", "Which Weft this is.", [
      { labels: { version: VERSION, node: process.versions.node }, value: 1 },
    ]),
    counter(
      "process_cpu_seconds_total",
      "Time that the daemon has used of a processor.",
      (user + system) / MICROSECONDS_PER_SECOND,
    ),
    gauge(
      "process_resident_memory_bytes",
      "Memory of the daemon that is resident.",
      process.memoryUsage.rss(),
    ),
    gauge("process_start_time_seconds", "When the daemon started, since the epoch.", startedAt),
  ];
}
