/** The part "control" as a table: a column for each cluster, with the bound that Weft is held to. */
import { mebibytes, milliseconds, renderTable } from "../table.ts";
import type { ControlReport } from "./control.ts";
import type { ControlResult } from "./measure.ts";

interface Row {
  readonly title: string;
  /** What DESIGN promises of Weft; empty where it promises nothing. */
  readonly bound: string;
  readonly cell: (cluster: ControlResult) => string | undefined;
}

const ms = milliseconds;
const ROWS: readonly Row[] = [
  { title: "two workers join", bound: "≤ 0.5 s", cell: ({ joinMs }) => ms(joinMs) },
  {
    title: "six tasks with a published port running",
    bound: "≤ 1.0 s",
    cell: ({ runningMs }) => ms(runningMs.median),
  },
  {
    title: "  every node answers",
    bound: "≤ 1.0 s",
    cell: ({ answeringMs }) => answeringMs && ms(answeringMs.median),
  },
  {
    title: "task killed: last connection harmed after",
    bound: "≤ 0.2 s",
    cell: ({ killed }) => killed && ms(killed.lastMs),
  },
  {
    title: "  failed, delayed, of requests",
    bound: "",
    cell: ({ killed }) => killed && `${killed.failed}, ${killed.delayed} of ${killed.requests}`,
  },
  {
    title: "three of six stopped: last connection to one",
    bound: "≤ 0.2 s",
    cell: ({ scaled }) => scaled && ms(scaled.lastConnectionMs),
  },
  {
    title: "  failed, delayed, of requests",
    bound: "0",
    cell: ({ scaled }) =>
      scaled && `${scaled.harm.failed}, ${scaled.harm.delayed} of ${scaled.harm.requests}`,
  },
  {
    title: "node crashed: noticed",
    bound: "≤ 3 s",
    cell: ({ crash }) => ms(crash.noticedMs),
  },
  {
    title: "  last connection harmed after",
    bound: "≤ 3 s",
    cell: ({ crash }) => crash.harm && ms(crash.harm.lastMs),
  },
  {
    title: "  its tasks running elsewhere",
    bound: "≤ 5 s",
    cell: ({ crash }) => ms(crash.runningElsewhereMs),
  },
  {
    title: "services created at once",
    bound: "",
    cell: ({ many }) => `${many.services} in ${ms(many.acceptedMs)}`,
  },
  { title: "  all of their tasks running", bound: "", cell: ({ many }) => ms(many.runningMs) },
  {
    title: "tasks scheduled",
    bound: "",
    cell: ({ scheduled }) => `${scheduled.tasks} in ${ms(scheduled.ms)}`,
  },
  {
    title: "resident memory on a worker at rest",
    bound: "≤ 160 MiB",
    cell: ({ footprint }) => mebibytes(footprint.residentBytes),
  },
  {
    title: "  with what is shared counted once",
    bound: "",
    cell: ({ footprint }) => mebibytes(footprint.proportionalBytes),
  },
  {
    title: "  CPU time, of one core",
    bound: "≤ 1 %",
    cell: ({ footprint }) => `${(100 * footprint.cpuShare).toFixed(1)} %`,
  },
];

export function renderControl({ clusters }: ControlReport): string {
  const columns = [
    { title: "", align: "left" as const },
    { title: "bound" },
    ...clusters.map(({ kind }) => ({ title: kind })),
  ];
  const rows = ROWS.map(({ title, bound, cell }) => [
    title,
    bound,
    ...clusters.map((cluster) => cell(cluster) ?? "–"),
  ]);
  const notes = clusters.flatMap(({ kind, notes: own }) => own.map((note) => `${kind}: ${note}`));
  return [
    "Control: three nodes, the same commands; clients ask each node every 10 ms",
    "",
    renderTable(columns, rows),
    ...notes,
  ].join("\n");
}
