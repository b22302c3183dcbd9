/** What a soak has found, operation by operation, for a terminal and as JSON. */

import { LOADS, type LoadName, type LoadSpan } from "./loads.ts";
import type { Operation } from "./operations.ts";

export interface OperationResult {
  readonly operation: Operation;
  readonly tookMs: number;
  readonly startedAt: number;
  readonly spans: ReadonlyMap<LoadName, LoadSpan>;
}

/** One line an operation, one more for each load that lost or delayed something. */
export function describeResult({ operation, tookMs, startedAt, spans }: OperationResult): string[] {
  const all = [...spans.values()];
  const sum = (key: "sent" | "failed" | "delayed" | "retried") =>
    all.reduce((total, span) => total + span[key], 0);
  const seconds = (tookMs / 1_000).toFixed(1).padStart(5);
  const head = [
    `${seconds} s  ${operation.name.padEnd(44)}`,
    `${String(sum("sent")).padStart(6)} sent`,
    `${String(sum("failed")).padStart(3)} failed`,
    `${String(sum("delayed")).padStart(3)} delayed`,
    `${String(sum("retried")).padStart(3)} retried`,
  ].join("  ");
  const details = [...spans].flatMap(([name, span]) => describeSpan(name, span, startedAt));
  return [head, ...details];
}

/** So many of a load's incidents are shown; the rest are counted. */
const SHOWN_MAX = 6;

function describeSpan(name: LoadName, { incidents }: LoadSpan, startedAt: number): string[] {
  const lines = incidents.slice(0, SHOWN_MAX).map(({ at, url, tookMs, error }) => {
    const since = `+${at - startedAt} ms`.padStart(10);
    return `         ${name.padEnd(12)}${since}  ${url}  ${tookMs} ms  ${error ?? "delayed"}`;
  });
  const rest = incidents.length - lines.length;
  return rest > 0 ? [...lines, `         ${name.padEnd(12)}  … and ${rest} more`] : lines;
}

export interface Totals {
  readonly sent: number;
  readonly failed: number;
  readonly delayed: number;
  readonly retried: number;
  readonly slowestMs: number;
  readonly errors: Readonly<Record<string, number>>;
}

/** Of the planned operations, or of the failures. */
export function totalsOf(results: readonly OperationResult[], load?: LoadName): Totals {
  const spans = results.flatMap(({ spans }) =>
    LOADS.filter((name) => load === undefined || name === load).flatMap(
      (name) => spans.get(name) ?? [],
    ),
  );
  const sum = (key: "sent" | "failed" | "delayed" | "retried") =>
    spans.reduce((total, span) => total + span[key], 0);
  const errors: Record<string, number> = {};
  for (const [kind, count] of spans.flatMap((span) => Object.entries(span.errors))) {
    errors[kind] = (errors[kind] ?? 0) + count;
  }
  return {
    sent: sum("sent"),
    failed: sum("failed"),
    delayed: sum("delayed"),
    retried: sum("retried"),
    slowestMs: Math.max(0, ...spans.map(({ slowestMs }) => slowestMs)),
    errors,
  };
}

export function describeTotals(results: readonly OperationResult[]): string[] {
  const groups = [
    ["planned operations", results.filter(({ operation }) => operation.planned)],
    ["failures of tasks and nodes", results.filter(({ operation }) => !operation.planned)],
  ] as const;
  return groups.flatMap(([title, group]) => [
    `${title}: ${group.length}`,
    ...LOADS.map((load) => `  ${load.padEnd(12)} ${describeCounts(totalsOf(group, load))}`),
    `  ${"all".padEnd(12)} ${describeCounts(totalsOf(group))}`,
  ]);
}

function describeCounts(totals: Totals): string {
  const kinds = Object.entries(totals.errors).map(([kind, count]) => `${kind} ${count}`);
  return [
    `${String(totals.sent).padStart(8)} sent`,
    `${String(totals.failed).padStart(4)} failed${kinds.length > 0 ? ` (${kinds.join(", ")})` : ""}`,
    `${String(totals.delayed).padStart(4)} delayed`,
    totals.slowestMs > 0 ? `longest ${totals.slowestMs} ms` : "",
    `${String(totals.retried).padStart(4)} asked again (closed idle connection, lost datagram)`,
  ]
    .filter((cell) => cell !== "")
    .join("  ");
}
