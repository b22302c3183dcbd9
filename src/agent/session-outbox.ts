/**
 * What a node still has to tell its managers: the newest status of each task and the newest of everything
 * else, each kept until a manager has acknowledged it, over any number of sessions. Pure.
 */
import type { NodeDescription, PortProblem } from "../cluster/objects.ts";

import {
  type PeerProblem,
  STATUSES_PER_REPORT_MAX,
  type TaskStatusUpdate,
} from "../dispatcher/assignment.ts";

/** Reports sent and not acknowledged; at the bound what comes meanwhile gathers for the next one. */
const REPORTS_IN_FLIGHT_MAX = 4;

export interface OutgoingReport {
  readonly sequence: number;
  readonly statuses: readonly TaskStatusUpdate[];
  readonly applied?: number;
  readonly portProblems?: readonly PortProblem[];
  readonly peerProblems?: readonly PeerProblem[];
  readonly description?: NodeDescription;
}

interface Kept<T> {
  readonly value: T;
  /** The report that it went out in; absent when it has not in this session. */
  sentIn: number | undefined;
}

export class SessionOutbox {
  readonly #statuses = new Map<string, Kept<TaskStatusUpdate>>();
  #applied: Kept<number> | undefined;
  #portProblems: Kept<readonly PortProblem[]> | undefined;
  #peerProblems: Kept<readonly PeerProblem[]> | undefined;
  #description: Kept<NodeDescription> | undefined;
  #sequence = 0;
  #acknowledged = 0;

  putStatus(value: TaskStatusUpdate): void {
    this.#statuses.set(value.taskID, { value, sentIn: undefined });
  }
  putApplied(value: number): void {
    this.#applied = { value, sentIn: undefined };
  }
  putPortProblems(value: readonly PortProblem[]): void {
    this.#portProblems = { value, sentIn: undefined };
  }
  putPeerProblems(value: readonly PeerProblem[]): void {
    this.#peerProblems = { value, sentIn: undefined };
  }
  putDescription(value: NodeDescription): void {
    this.#description = { value, sentIn: undefined };
  }

  /**
   * A new session: what was not acknowledged goes out again. A confirmation does not: it was of a mesh
   * that another session brought, and is the agent's to give again.
   */
  restart(): void {
    this.#sequence = 0;
    this.#acknowledged = 0;
    this.#applied = undefined;
    for (const kept of this.#everything()) kept.sentIn = undefined;
  }

  /** The next report; undefined when there is nothing to say, or too much is unacknowledged. */
  take(): OutgoingReport | undefined {
    if (this.#sequence - this.#acknowledged >= REPORTS_IN_FLIGHT_MAX) return undefined;
    const unsent = [...this.#everything()].filter(({ sentIn }) => sentIn === undefined);
    if (unsent.length === 0) return undefined;
    const sequence = ++this.#sequence;
    const statuses = [...this.#statuses.values()]
      .filter(({ sentIn }) => sentIn === undefined)
      .slice(0, STATUSES_PER_REPORT_MAX);
    for (const kept of statuses) kept.sentIn = sequence;
    const applied = mark(this.#applied, sequence);
    const portProblems = mark(this.#portProblems, sequence);
    const peerProblems = mark(this.#peerProblems, sequence);
    const description = mark(this.#description, sequence);
    return {
      sequence,
      statuses: statuses.map(({ value }) => value),
      ...(applied === undefined ? {} : { applied }),
      ...(portProblems === undefined ? {} : { portProblems }),
      ...(peerProblems === undefined ? {} : { peerProblems }),
      ...(description === undefined ? {} : { description }),
    };
  }

  /** A manager has all up to this report. */
  acknowledge(sequence: number): void {
    this.#acknowledged = Math.max(this.#acknowledged, sequence);
    const isDone = (kept: Kept<unknown> | undefined) =>
      kept?.sentIn !== undefined && kept.sentIn <= sequence;
    for (const [taskID, kept] of this.#statuses) if (isDone(kept)) this.#statuses.delete(taskID);
    if (isDone(this.#applied)) this.#applied = undefined;
    if (isDone(this.#portProblems)) this.#portProblems = undefined;
    if (isDone(this.#peerProblems)) this.#peerProblems = undefined;
    if (isDone(this.#description)) this.#description = undefined;
  }

  *#everything(): Iterable<Kept<unknown>> {
    yield* this.#statuses.values();
    for (const kept of [this.#applied, this.#portProblems, this.#peerProblems, this.#description]) {
      if (kept !== undefined) yield kept;
    }
  }
}

/** The value, if it has not been sent, now marked as sent in this report. */
function mark<T>(kept: Kept<T> | undefined, sequence: number): T | undefined {
  if (kept === undefined || kept.sentIn !== undefined) return undefined;
  kept.sentIn = sequence;
  return kept.value;
}
