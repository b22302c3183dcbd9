/** The part "names" as a table: a column for each size, a row for each figure. */
import { figure, mebibytes, milliseconds, renderTable } from "../table.ts";
import type { NamesRate, NamesReport, NamesResult } from "./names.ts";

const US_PER_S = 1_000_000;

export function renderNames({ steadyRate, sizes }: NamesReport): string {
  const rate = (title: string, of: (size: NamesResult) => NamesRate) =>
    [
      [`${title}, answers/s`, (size: NamesResult) => figure(of(size).perSecond)],
      ["  CPU µs each", (size: NamesResult) => figure(of(size).cpuUs)],
      ["  so with one core of its own", (size: NamesResult) => figure(US_PER_S / of(size).cpuUs)],
      ["  lost", (size: NamesResult) => figure(of(size).lost)],
    ] as const;
  const rows = [
    ["the whole set told", (size: NamesResult) => milliseconds(size.toldMs)],
    ["one service changed", (size: NamesResult) => milliseconds(size.change.median)],
    ["memory of a process with it", (size: NamesResult) => mebibytes(size.residentBytes)],
    ...rate("one address", ({ address }) => address),
    ...rate("a list of three", ({ list }) => list),
    ...rate("no such name", ({ nobody }) => nobody),
    [`p50 at ${figure(steadyRate)}/s`, (size: NamesResult) => milliseconds(size.steadyP50Ms)],
    ["p99", (size: NamesResult) => milliseconds(size.steadyP99Ms)],
  ] as const;
  const columns = [
    { title: "", align: "left" as const },
    ...sizes.map(({ services }) => ({ title: figure(services) })),
  ];
  const cells = rows.map(([title, cell]) => [title, ...sizes.map(cell)]);
  return `Names: services that a keeper answers for, asked by dnsperf\n\n${renderTable(columns, cells)}`;
}
