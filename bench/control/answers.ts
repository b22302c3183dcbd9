/** What a client met while something happened to the cluster. Pure: from samples to figures. */

/** One request on a fresh connection. */
export interface Sample {
  /** When it began, in milliseconds since the epoch. */
  readonly at: number;
  readonly tookMs: number;
  readonly target: string;
  /** The task that answered; none when the request failed. */
  readonly task?: string;
  readonly error?: string;
}

/** A connection that takes longer met something that was gone: the next SYN comes after a second. */
export const DELAYED_MS = 250;

export interface Harm {
  /** From the event to the last connection that failed or was delayed; 0 when none was. */
  readonly lastMs: number;
  readonly failed: number;
  readonly delayed: number;
  readonly slowestMs: number;
  readonly requests: number;
}

/** What an event did to the connections that began at it or later. */
export function harmSince(samples: readonly Sample[], event: number): Harm {
  const after = samples.filter(({ at }) => at >= event);
  const failed = after.filter(({ task }) => task === undefined);
  const delayed = after.filter(({ task, tookMs }) => task !== undefined && tookMs > DELAYED_MS);
  const harmed = [...failed, ...delayed].map(({ at }) => at - event);
  return {
    lastMs: Math.max(0, ...harmed),
    failed: failed.length,
    delayed: delayed.length,
    slowestMs: Math.max(0, ...after.map(({ tookMs }) => tookMs)),
    requests: after.length,
  };
}

/** From the event to the beginning of the last connection that one of these tasks was given; 0 when none was. */
export function lastAnswerBy(
  samples: readonly Sample[],
  tasks: ReadonlySet<string>,
  event: number,
): number {
  const times = samples
    .filter(({ task }) => task !== undefined && tasks.has(task))
    .map(({ at }) => at - event);
  return Math.max(0, ...times);
}

/** From the event to the end of the first answer of the target that was last to give one; undefined while one has not. */
export function allAnswering(
  samples: readonly Sample[],
  targets: readonly string[],
  event: number,
): number | undefined {
  const firsts = targets.map((target) => {
    const answers = samples.filter(
      (sample) => sample.target === target && sample.task !== undefined && sample.at >= event,
    );
    return Math.min(...answers.map(({ at, tookMs }) => at + tookMs - event));
  });
  const last = Math.max(...firsts);
  return Number.isFinite(last) ? last : undefined;
}
