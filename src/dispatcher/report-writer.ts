/**
 * What nodes report, into the store: all that has come in since the last transaction is the next one, so
 * six tasks are written at once and ten thousand in a few. Who reports touches nothing but its own.
 */
import type { Logger } from "../base/logger.ts";
import {
  isTaskStateAtLeast,
  type NodeDescription,
  type PortProblem,
  type TaskStatus,
} from "../cluster/objects.ts";
import type { Store, Transaction } from "../cluster/store.ts";
import type { TaskStatusUpdate } from "./assignment.ts";

/** One transaction takes at most this many reports; the others wait for the next, and with them their nodes' acknowledgement. */
const REPORTS_PER_TRANSACTION_MAX = 1_000;

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

interface Pending {
  readonly report: NodeReport;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export interface ReportWriterComponents {
  readonly store: Store;
  readonly log: Logger;
}

export class ReportWriter {
  readonly #store: Store;
  readonly #log: Logger;
  readonly #pending: Pending[] = [];
  #running: Promise<void> | undefined;

  constructor(components: ReportWriterComponents) {
    this.#store = components.store;
    this.#log = components.log;
  }

  /** Resolves when the report is durable, or refused for good; rejects when it has to be sent again. */
  submit(report: NodeReport): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#pending.push({ report, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  async idle(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    // On the next turn, so that reports read from several sockets in one turn share a transaction.
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (this.#pending.length > 0) {
      await this.#write(this.#pending.splice(0, REPORTS_PER_TRANSACTION_MAX));
    }
    this.#running = undefined;
  }

  async #write(batch: readonly Pending[]): Promise<void> {
    try {
      const refused = await this.#store.update((tx) =>
        batch.flatMap(({ report }) => writeReport(tx, report)),
      );
      for (const { reason, taskID } of refused) this.#log.warn(reason, { taskID });
      for (const { resolve } of batch) resolve();
    } catch (error) {
      this.#log.error("reports not stored", { error, reports: batch.length });
      for (const { reject } of batch) reject(error);
    }
  }
}

/** Writes what this node may say. A lying node changes nothing else: not another's task, not the past, not a wish. */
export function writeReport(tx: Transaction, report: NodeReport): readonly RefusedStatus[] {
  const refused = report.statuses.flatMap((update) => writeStatus(tx, report.nodeID, update));
  const node = tx.get("node", report.nodeID);
  const { portProblems, description } = report;
  if (node !== undefined && (portProblems !== undefined || description !== undefined)) {
    tx.put("node", {
      ...node,
      ...(portProblems === undefined ? {} : { portProblems }),
      ...(description === undefined ? {} : { description }),
    });
  }
  return refused;
}

function writeStatus(
  tx: Transaction,
  nodeID: string,
  { taskID, status }: TaskStatusUpdate,
): readonly RefusedStatus[] {
  const task = tx.get("task", taskID);
  // The orchestrator has removed it meanwhile: nobody is left to tell.
  if (task === undefined) return [];
  if (task.nodeID !== nodeID) {
    return [{ taskID, reason: "a node reported on a task that is not its own" }];
  }
  if (!isForward(task.status, status)) return [];
  tx.put("task", { ...task, status });
  return [];
}

/** States only move forward. Within one the last word counts: a node's reports come in order, over one session. */
function isForward(before: TaskStatus, after: TaskStatus): boolean {
  return isTaskStateAtLeast(after.state, before.state);
}
