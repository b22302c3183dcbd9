/**
 * What nodes report, into the store: what has come in since the last transaction is the next one, so six tasks are
 * written at once and ten thousand in a few. Each node has a budget of transactions: one that reports without pause
 * waits, and what it says meanwhile of one task is one status, its last. Who reports touches nothing but its own.
 */
import type { Clock, Timer } from "../base/clock.ts";
import type { Logger } from "../base/logger.ts";
import {
  isTaskStateAtLeast,
  type NodeDescription,
  type PortProblem,
  type Task,
  type TaskStatus,
} from "../cluster/objects.ts";
import type { Store, Transaction } from "../cluster/store.ts";
import type { TaskStatusUpdate } from "./assignment.ts";
import { heardStatus } from "./node-state.ts";

/** One transaction takes no further node beyond so many statuses; the others wait for the next, and with them their acknowledgement. */
const STATUSES_PER_TRANSACTION_MAX = 2_000;
/** A node's transactions a second, each of so many statuses; beyond that its reports wait and are put together. */
const PARTS_PER_SECOND = 20;
const STATUSES_PER_PART = 250;
/** What a node has not used of that it may use at once: a rollout on it, or all that a session begins with. */
const PARTS_MAX = 60;

export interface NodeReport {
  /** From the session's certificate, never from the message. */
  readonly nodeID: string;
  readonly statuses: readonly TaskStatusUpdate[];
  readonly portProblems?: readonly PortProblem[];
  readonly description?: NodeDescription;
}

/** A status that was not taken, and why. */
export interface RefusedStatus {
  readonly taskID: string;
  readonly reason: string;
}

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** What one node has reported and is not written yet. */
interface Pending {
  readonly statuses: Map<string, TaskStatusUpdate>;
  portProblems?: readonly PortProblem[];
  description?: NodeDescription;
  readonly waiters: Waiter[];
}

/** What a node may still write: `parts` at the time `at`, more with each moment since. */
interface Budget {
  readonly parts: number;
  readonly at: number;
}

export interface ReportWriterComponents {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
}

export class ReportWriter {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #log: Logger;
  /** By node, in the order in which they came: who was written waits behind the others. */
  readonly #pending = new Map<string, Pending>();
  /** Of nodes that have not all of it. */
  readonly #budgets = new Map<string, Budget>();
  #timer: Timer | undefined;
  #running: Promise<void> | undefined;

  constructor(components: ReportWriterComponents) {
    this.#store = components.store;
    this.#clock = components.clock;
    this.#log = components.log;
  }

  /** Resolves when the report is durable, or refused for good, or outdated by a later one that is; rejects when it has to be sent again. */
  submit(report: NodeReport): Promise<void> {
    return new Promise((resolve, reject) => {
      const pending = this.#pending.get(report.nodeID) ?? nothingPending();
      this.#merge(pending, report);
      pending.waiters.push({ resolve, reject });
      this.#pending.set(report.nodeID, pending);
      this.#wake();
    });
  }

  /** Resolves when nothing is being written; what waits for a node's budget is left. */
  async idle(): Promise<void> {
    await this.#running;
  }

  /** What waits is never written: its nodes send it again. */
  stop(): Promise<void> {
    this.#timer?.cancel();
    this.#pending.clear();
    return this.idle();
  }

  /** Only what may be written is kept, so that no more can wait than a node has tasks. */
  #merge(pending: Pending, report: NodeReport): void {
    const refused: RefusedStatus[] = [];
    const view = this.#store.view();
    for (const update of report.statuses) {
      const refusal = refusalOf(view.get("task", update.taskID), report.nodeID, update);
      if (refusal === "unknown") continue;
      if (refusal !== undefined) refused.push(refusal);
      else pending.statuses.set(update.taskID, newer(pending.statuses.get(update.taskID), update));
    }
    if (report.portProblems !== undefined) pending.portProblems = report.portProblems;
    if (report.description !== undefined) pending.description = report.description;
    const [first] = refused;
    if (first === undefined) return;
    this.#log.warn(first.reason, {
      nodeID: report.nodeID,
      taskID: first.taskID,
      count: refused.length,
    });
  }

  #wake(): void {
    this.#timer?.cancel();
    this.#running ??= this.#run();
  }

  async #run(): Promise<void> {
    // On the next turn, so that reports read from several sockets in one turn share a transaction.
    await new Promise<void>((resolve) => setImmediate(resolve));
    for (let batch = this.#take(); batch.length > 0; batch = this.#take()) {
      await this.#write(batch);
    }
    this.#running = undefined;
    this.#armTimer();
  }

  /** The next transaction: whoever has something to say and a part of its budget left. */
  #take(): readonly (readonly [string, Pending])[] {
    const batch: [string, Pending][] = [];
    const now = this.#clock.monotonic();
    let statuses = 0;
    for (const [nodeID, pending] of this.#pending) {
      if (statuses >= STATUSES_PER_TRANSACTION_MAX) break;
      const parts = this.#partsOf(nodeID, now);
      if (parts < 1) continue;
      const cost = Math.max(1, pending.statuses.size / STATUSES_PER_PART);
      this.#budgets.set(nodeID, { parts: parts - cost, at: now });
      this.#pending.delete(nodeID);
      batch.push([nodeID, pending]);
      statuses += pending.statuses.size;
    }
    return batch;
  }

  #partsOf(nodeID: string, now: number): number {
    const budget = this.#budgets.get(nodeID);
    if (budget === undefined) return PARTS_MAX;
    const parts = budget.parts + ((now - budget.at) / 1_000) * PARTS_PER_SECOND;
    if (parts < PARTS_MAX) return parts;
    this.#budgets.delete(nodeID);
    return PARTS_MAX;
  }

  /** For the first of those whose budget is used up. */
  #armTimer(): void {
    const now = this.#clock.monotonic();
    const lacks = [...this.#pending.keys()].map((nodeID) => 1 - this.#partsOf(nodeID, now));
    if (lacks.length === 0) return;
    const delayMs = Math.ceil((Math.max(0, Math.min(...lacks)) / PARTS_PER_SECOND) * 1_000);
    this.#timer = this.#clock.timer("reports", delayMs, () => this.#wake());
  }

  async #write(batch: readonly (readonly [string, Pending])[]): Promise<void> {
    try {
      await this.#store.update((tx) => {
        for (const [nodeID, { statuses, waiters: _, ...rest }] of batch) {
          writeReport(tx, { nodeID, statuses: [...statuses.values()], ...rest });
        }
      });
      for (const [, { waiters }] of batch) for (const { resolve } of waiters) resolve();
    } catch (error) {
      this.#log.error("reports not stored", { error, nodes: batch.length });
      for (const [, { waiters }] of batch) for (const { reject } of waiters) reject(error);
    }
  }
}

function nothingPending(): Pending {
  return { statuses: new Map(), waiters: [] };
}

/** Writes what this node may say. A lying node changes nothing else: not another's task, not the past, not a wish. */
export function writeReport(tx: Transaction, report: NodeReport): void {
  for (const update of report.statuses) {
    const task = tx.get("task", update.taskID);
    if (task === undefined || refusalOf(task, report.nodeID, update) !== undefined) continue;
    if (isForward(task.status, update.status)) tx.put("task", { ...task, status: update.status });
  }
  const node = tx.get("node", report.nodeID);
  const { portProblems, description } = report;
  if (node !== undefined && (portProblems !== undefined || description !== undefined)) {
    const reported = {
      ...node,
      ...(portProblems === undefined ? {} : { portProblems }),
      ...(description === undefined ? {} : { description }),
    };
    const status = description === undefined ? node.status : heardStatus(reported);
    tx.put("node", { ...reported, status });
  }
}

/** `unknown`: the orchestrator has removed the task meanwhile, and nobody is left to tell. */
function refusalOf(
  task: Task | undefined,
  nodeID: string,
  { taskID }: TaskStatusUpdate,
): RefusedStatus | "unknown" | undefined {
  if (task === undefined) return "unknown";
  if (task.nodeID === nodeID) return undefined;
  return { taskID, reason: "a node reported on a task that is not its own" };
}

/** Of two statuses of one task the later one, unless it goes back. */
function newer(before: TaskStatusUpdate | undefined, after: TaskStatusUpdate): TaskStatusUpdate {
  return before !== undefined && !isForward(before.status, after.status) ? before : after;
}

/** States only move forward. Within one the last word counts: a node's reports come in order, over one session. */
function isForward(before: TaskStatus, after: TaskStatus): boolean {
  return isTaskStateAtLeast(after.state, before.state);
}
