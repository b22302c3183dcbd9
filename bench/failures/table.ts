/** The part "failures" as a table: medians, and the worst round beside them. */
import { median } from "../stats.ts";
import { milliseconds, renderTable } from "../table.ts";
import type { FailureKind, FailureResult, FailureRound, FailuresReport } from "./failures.ts";

interface Row {
  readonly title: string;
  /** What Weft is held to; empty where it promises nothing. */
  readonly bound: string;
  readonly failure: FailureKind;
  readonly value: (round: FailureRound) => number | undefined;
}

const ROWS: readonly Row[] = (["crash", "cut"] as const).flatMap((failure): readonly Row[] => [
  {
    ...{ title: failure === "crash" ? "host crashed: noticed" : "host cut off: noticed" },
    ...{ bound: "≤ 3 s", failure, value: ({ noticedMs }) => noticedMs },
  },
  {
    ...{ title: "  last connection harmed after", bound: "≤ 3 s", failure },
    value: ({ lastHarmedMs }) => lastHarmedMs,
  },
  {
    ...{ title: "  its tasks running elsewhere", bound: "≤ 5 s", failure },
    value: ({ runningElsewhereMs }) => runningElsewhereMs,
  },
  ...(failure === "crash"
    ? []
    : [
        {
          ...{ title: "  back again: surplus tasks gone", bound: "", failure },
          value: ({ surplusGoneMs }: FailureRound) => surplusGoneMs,
        },
      ]),
]);

export function renderFailures({ clusters }: FailuresReport): string {
  const columns = [
    { title: "", align: "left" as const },
    { title: "bound" },
    ...clusters.map(({ kind }) => ({ title: kind })),
  ];
  const rows = ROWS.map((row) => [
    row.title,
    row.bound,
    ...clusters.map((cluster) => cell(cluster, row)),
  ]);
  const notes = clusters.flatMap(({ kind, notes: own }) => own.map((note) => `${kind}: ${note}`));
  const count = clusters[0]?.rounds.crash.length ?? 0;
  return [
    `Failures: one of three hosts, ${count} times each; the median, and the worst in brackets`,
    "",
    renderTable(columns, rows),
    ...notes,
  ].join("\n");
}

function cell({ rounds }: FailureResult, { failure, value }: Row): string {
  const values = rounds[failure].flatMap((round) => value(round) ?? []);
  if (values.length === 0) return "–";
  return `${milliseconds(median(values))} (${milliseconds(Math.max(...values))})`;
}
