/** The whole result: what `--format json` prints, and what the tables and the chart are made from. */

import type { ControlReport } from "./control/control.ts";
import { renderControl } from "./control/table.ts";
import type { FailuresReport } from "./failures/failures.ts";
import { renderFailures } from "./failures/table.ts";
import type { ListsReport } from "./lists/lists.ts";
import { renderLists } from "./lists/table.ts";
import type { MachineReport } from "./machine.ts";
import type { NamesReport } from "./names/names.ts";
import { renderNames } from "./names/table.ts";
import type { NetworksReport } from "./networks/networks.ts";
import { renderNetworks } from "./networks/table.ts";
import type { PathsReport } from "./paths/paths.ts";
import { renderPaths } from "./paths/table.ts";
import type { ScaleReport } from "./scale/scale.ts";
import { renderScale } from "./scale/table.ts";

export interface Report {
  readonly startedAt: string;
  readonly seconds: number;
  readonly isQuick: boolean;
  readonly machine: MachineReport;
  readonly paths?: PathsReport;
  readonly overlays?: PathsReport;
  readonly scale?: ScaleReport;
  readonly networks?: NetworksReport;
  readonly control?: ControlReport;
  readonly failures?: FailuresReport;
  readonly lists?: ListsReport;
  readonly names?: NamesReport;
}

/** From this share of the cores on, what runs beside the benchmark is named. */
const BUSY_MAX = 0.05;

export function renderReport(report: Report): string {
  const parts = [
    renderMachine(report),
    report.paths && renderPaths(report.paths),
    report.overlays && renderPaths(report.overlays, "Overlays"),
    report.scale && renderScale(report.scale),
    report.networks && renderNetworks(report.networks),
    report.control && renderControl(report.control),
    report.failures && renderFailures(report.failures),
    report.lists && renderLists(report.lists),
    report.names && renderNames(report.names),
  ];
  return `${parts.filter((part) => part !== undefined).join("\n\n\n")}\n`;
}

/** One line below the chart. */
export function chartCaption({ machine, startedAt, paths }: Report): string {
  const day = startedAt.slice(0, "2026-01-01".length);
  const kernel = machine.kernel.split(" ")[0] ?? "";
  const rounds = `medians of ${paths?.rounds ?? 0} rounds`;
  return `${machine.cores} cores of ${machine.processor}, Linux ${kernel}, ${day}; ${rounds}, the line is between the quartiles`;
}

function renderMachine({ machine, startedAt, seconds, isQuick }: Report): string {
  const { cores, processor, memoryGiB, kernel, architecture, versions, busyBefore } = machine;
  const programs = Object.entries(versions).map(([program, version]) => `${program} ${version}`);
  const busy =
    busyBefore < BUSY_MAX
      ? ""
      : `\nOther programs used ${Math.round(100 * busyBefore)} % of the cores before it began: believe no figure.`;
  return [
    `Weft's benchmark, ${startedAt}, ${Math.round(seconds)} s${isQuick ? ", --quick" : ""}${busy}`,
    `${cores} cores of ${processor} (${architecture}), ${memoryGiB} GiB, Linux ${kernel}`,
    programs.join(", "),
  ].join("\n");
}
