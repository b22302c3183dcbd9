/** What a load's process is told, and what it tells: shared by load.ts and the workers. */

export interface LoadPlan {
  /**
   * Asked in turn. `http://…` is a request, `tcp://…` a stream of random bytes to an echo server,
   * `udp://…` a DNS question: one datagram, one answer.
   */
  readonly urls: readonly string[];
  readonly connections: number;
  /** Whether HTTP connections, or the client's UDP port, are used again. */
  readonly keepAlive: boolean;
  readonly timeoutMs: number;
  readonly pauseMs: number;
  /** How long each TCP stream is sent. */
  readonly streamMs: number;
}

/** A request that failed, or took longer than DELAYED_MS. */
export interface Incident {
  /** When it began: milliseconds since the epoch. */
  readonly at: number;
  readonly url: string;
  readonly tookMs: number;
  readonly error?: string;
}

export interface LoadCounts {
  /** Requests that have ended, failed ones included. */
  readonly sent: number;
  /** Without a complete answer: of status 200, the stream's own bytes, a DNS answer. */
  readonly failed: number;
  /**
   * Requests made again because a kept connection was closed before any answer: every HTTP client
   * does so (RFC 9110 §9.2.2), as a server may close an idle connection while a request is on its way. And DNS
   * questions that were asked again: a datagram that is under way while its flow moves may be lost.
   */
  readonly retried: number;
  /** Those that took longer than DELAYED_MS, failed or not; of a stream, whose echo did. */
  readonly delayed: number;
  /** Failures by kind: an errno, "timeout", or "status 502". */
  readonly errors: Readonly<Record<string, number>>;
  /** Answers by their first line: which task, from the lab's nginx and its DNS server. */
  readonly answers: Readonly<Record<string, number>>;
  readonly slowestMs: number;
}

export const DELAYED_MS = 250;

/** What became of one request. */
export interface Outcome {
  readonly error: string | undefined;
  readonly firstLine: string;
  /** True when a kept connection ended before any answer to this request. */
  readonly closedBeforeAnswer: boolean;
  /** How often it was asked again within. */
  readonly retries?: number;
  /** The longest wait within it, where that is not all of it. */
  readonly waitedMs?: number;
}

/** One way of asking: it resolves with whatever came of it. */
export interface Asking {
  ask(url: URL): Promise<Outcome>;
  close(): void;
}

export function failedWith(error: string): Outcome {
  return { error, firstLine: "", closedBeforeAnswer: false };
}
