/**
 * How often members look at each other and how long they doubt. The wire is memberlist's, the
 * timings are ours: docs/decisions says what they trade, and the simulation in test/sim holds them to it.
 */
export interface Timings {
  /** One member is probed per interval; a probe that has no answer by the interval's end has failed. */
  readonly probeIntervalMs: number;
  /** The same where a suspicion waits for nobody's confirmation, as nobody else is there: it can begin later. */
  readonly probeIntervalMsFew: number;
  /** After this long without a direct answer others are asked, and TCP is tried. */
  readonly probeTimeoutMs: number;
  /** How many others are asked to probe a member that does not answer. */
  readonly indirectChecks: number;
  /** One more than the worst score of one's own health; a node at the worst takes this many times as long to suspect. */
  readonly awarenessMax: number;
  /** How long a suspect has to refute when enough others suspect it too, or nobody else could. */
  readonly suspicionTimeoutMsMin: number;
  /** How long it has when nobody else does. */
  readonly suspicionTimeoutMsMax: number;
  /** How many others must agree for the shortest time. */
  readonly confirmations: number;
  /** At most one round of news in this time; the first goes out at once. */
  readonly gossipIntervalMs: number;
  readonly gossipFanout: number;
  /** News is sent this many times, times the number of digits of the cluster's size. */
  readonly retransmitFactor: number;
  /** All that is believed is exchanged with one member per interval, less often in large clusters. */
  readonly pushPullIntervalMs: number;
  /** A dead member is still told news for this long, its own death first. */
  readonly gossipToDeadMs: number;
  /** A dead member may be tried once per interval: a partition heals by this. */
  readonly reconnectIntervalMs: number;
  /** Who is dead or has left is forgotten after this. */
  readonly forgetMs: number;
  /** A leave that could not be told to all ends after this. */
  readonly leaveTimeoutMs: number;
  /** A timer that fires this late says that this node slept: what it waited for has not had its chance. */
  readonly stallMs: number;
}

export const TIMINGS = {
  /** A crashed node is dead within 3 s; one that sleeps for a second is not. */
  lan: {
    probeIntervalMs: 250,
    probeIntervalMsFew: 500,
    probeTimeoutMs: 100,
    indirectChecks: 3,
    awarenessMax: 4,
    suspicionTimeoutMsMin: 1_500,
    suspicionTimeoutMsMax: 3_000,
    confirmations: 1,
    gossipIntervalMs: 100,
    gossipFanout: 3,
    retransmitFactor: 6,
    pushPullIntervalMs: 15_000,
    gossipToDeadMs: 30_000,
    reconnectIntervalMs: 2_000,
    forgetMs: 3_600_000,
    leaveTimeoutMs: 2_000,
    stallMs: 150,
  },
  /** Hosts on one machine, for tests: everything faster, nobody may sleep. */
  local: {
    probeIntervalMs: 100,
    probeIntervalMsFew: 100,
    probeTimeoutMs: 50,
    indirectChecks: 3,
    awarenessMax: 4,
    suspicionTimeoutMsMin: 400,
    suspicionTimeoutMsMax: 800,
    confirmations: 1,
    gossipIntervalMs: 50,
    gossipFanout: 3,
    retransmitFactor: 6,
    pushPullIntervalMs: 2_000,
    gossipToDeadMs: 5_000,
    reconnectIntervalMs: 500,
    forgetMs: 60_000,
    leaveTimeoutMs: 1_000,
    stallMs: 150,
  },
} as const satisfies Readonly<Record<string, Timings>>;
