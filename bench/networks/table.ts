/** The part "networks" as a table: a column for each size, a row for each figure. */
import { figure, mebibytes, milliseconds, renderTable, spreadOf } from "../table.ts";
import type { NetworksReport, NetworksResult } from "./networks.ts";
import { ENDPOINTS_PER_NETWORK } from "./view.ts";

const ROWS: readonly (readonly [string, (size: NetworksResult) => string])[] = [
  ["first full apply", (size) => milliseconds(size.firstApplyMs)],
  ["one endpoint changed", (size) => milliseconds(size.change.median)],
  ["  ±", (size) => spreadOf(size.change)],
  ["  CPU time of the process", (size) => milliseconds(size.cpuMsPerChange)],
  ["apply with nothing to do", (size) => milliseconds(size.idleMs)],
  ["memory of a process with it", (size) => mebibytes(size.residentBytes)],
];

export function renderNetworks({ sizes }: NetworksReport): string {
  const columns = [
    { title: "", align: "left" as const },
    ...sizes.map(({ networks }) => ({ title: figure(networks) })),
  ];
  const rows = ROWS.map(([title, cell]) => [title, ...sizes.map(cell)]);
  const title = `Networks: overlay networks of ${ENDPOINTS_PER_NETWORK} endpoints, one of them on this node`;
  return `${title}\n\n${renderTable(columns, rows)}`;
}
