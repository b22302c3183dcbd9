/** The part "scale" as a table: a column for each size, a row for each figure. */
import { figure, mebibytes, milliseconds, renderTable, spreadOf } from "../table.ts";
import type { ScaleReport, ScaleResult } from "./scale.ts";

const ROWS: readonly (readonly [string, (size: ScaleResult) => string])[] = [
  ["first full apply", (size) => milliseconds(size.firstApplyMs)],
  ["one endpoint changed", (size) => milliseconds(size.change.median)],
  ["  ±", (size) => spreadOf(size.change)],
  ["  commands it took", (size) => figure(size.changeCommands)],
  ["  CPU time", (size) => milliseconds(size.cpuMsPerChange)],
  ["apply with nothing to do", (size) => milliseconds(size.idleMs)],
  ["daemon's start beside all of it", (size) => milliseconds(size.adoptMs)],
  ["memory of a process with it", (size) => mebibytes(size.residentBytes)],
  ["kernel memory", (size) => mebibytes(size.kernelBytes)],
  ["new connections/s, last service", (size) => figure(size.connections.median)],
  ["  ±", (size) => spreadOf(size.connections)],
  ["  CPU µs/connection", (size) => figure(size.connectionCPU.median)],
  ["  p50", (size) => milliseconds(size.p50Us / 1_000)],
];

export function renderScale({ endpointsPerService, sizes }: ScaleReport): string {
  const columns = [
    { title: "", align: "left" as const },
    ...sizes.map(({ services }) => ({ title: figure(services) })),
  ];
  const rows = ROWS.map(([title, cell]) => [title, ...sizes.map(cell)]);
  return `Scale: published services of ${endpointsPerService} endpoints each on one node\n\n${renderTable(columns, rows)}`;
}
