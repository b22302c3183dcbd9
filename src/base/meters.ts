/** What the daemon counts and times of its own work, in one place: each part adds to its own, the metrics page shows all. */
import { Count, counter, Duration, type MetricFamily } from "./metrics.ts";

export class Meters {
  /** From the beginning of a change of the kernel to its end; passes that changed nothing are left out. */
  readonly apply = new Duration();
  readonly applyFailures = new Count();
  readonly audits = new Count();
  readonly repairs = new Count();
  /** From when a task might stop until its connections were done, or its time was over. */
  readonly drain = new Duration();
  /** From a heartbeat to its manager's answer. */
  readonly heartbeat = new Duration();
  /** From asking for a transaction until it is durable, the wait for others before it included. */
  readonly commit = new Duration();

  families(): readonly MetricFamily[] {
    return [
      this.apply.family(
        "weft_apply_duration_seconds",
        "Time that changes of this node's kernel took.",
      ),
      counter(
        "weft_apply_failures_total",
        "Changes of this node's kernel that failed and were tried again.",
        this.applyFailures.value,
      ),
      counter(
        "weft_audits_total",
        "Comparisons of this node's kernel with what it should hold.",
        this.audits.value,
      ),
      counter(
        "weft_audit_repairs_total",
        "Things in this node's kernel that somebody had changed and that were put right.",
        this.repairs.value,
      ),
      this.drain.family(
        "weft_drain_duration_seconds",
        "Time that tasks of this node waited for their connections before they were stopped.",
      ),
      this.heartbeat.family(
        "weft_session_heartbeat_duration_seconds",
        "Time from this node's heartbeats to its manager's answers.",
      ),
      this.commit.family(
        "weft_store_commit_duration_seconds",
        "Time until transactions of the cluster's store were durable; counted on managers.",
      ),
    ];
  }
}
