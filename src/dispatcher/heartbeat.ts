/**
 * How often a node is heard of, and after how long a silence something is wrong. Docker's verdict takes
 * three of the spec's heartbeat periods, 15 s by default; ours must be out within 3 s, so the stream beats
 * faster, in proportion to what the user set (docs/decisions/0005-heartbeats-and-doubt.md).
 */
import { millisecondsOf } from "../base/duration.ts";
import type { Random } from "../base/random.ts";
import type { ClusterSpec } from "../cluster/objects.ts";

export interface HeartbeatTiming {
  /** The longest a node waits between two beats. */
  readonly periodMs: number;
  /** Silence for longer than this: the node is asked after, at once. */
  readonly graceMs: number;
  /** A node whose tasks still answer is given this long to be heard of again: Docker's own grace. */
  readonly patienceMs: number;
}

const DEFAULT_HEARTBEAT_MS = 5_000;
const BEATS_PER_HEARTBEAT = 5;
/** Two beats and a quarter: one may be lost and the next late. */
const GRACE_BEATS = 2.25;
const PATIENCE_HEARTBEATS = 3;
/** Whatever the user sets, no node beats more often than this, nor less often. */
const PERIOD_MS_MIN = 200;
const PERIOD_MS_MAX = 60_000;
/** A beat is drawn from the last quarter of the period, so that nodes do not beat together. */
const JITTER = 0.25;

/** By default 1 s, 2.25 s and 15 s. */
export function heartbeatTiming(spec: ClusterSpec | undefined): HeartbeatTiming {
  const asked = millisecondsOf(spec?.dispatcher.heartbeatPeriod ?? 0);
  const heartbeatMs = asked > 0 ? asked : DEFAULT_HEARTBEAT_MS;
  const beat = heartbeatMs / BEATS_PER_HEARTBEAT;
  const periodMs = Math.min(Math.max(beat, PERIOD_MS_MIN), PERIOD_MS_MAX);
  return {
    periodMs,
    graceMs: periodMs * GRACE_BEATS,
    patienceMs: periodMs * BEATS_PER_HEARTBEAT * PATIENCE_HEARTBEATS,
  };
}

/** What a node is told to wait until its next beat. */
export function nextBeatMs(timing: HeartbeatTiming, random: Random): number {
  return Math.round(timing.periodMs * (1 - JITTER * random.next()));
}
