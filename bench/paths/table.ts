/** The parts "paths" and "overlays" as tables: one for each load, every path beside its limit. */
import { type Column, figure, ratio, renderTable, spreadOf } from "../table.ts";
import type { LoadResult, PathResult } from "./measure.ts";
import type { PathsReport } from "./paths.ts";

export function renderPaths({ rounds, loads, notes }: PathsReport, title = "Paths"): string {
  const intro = [
    `${title}: medians of ${rounds} interleaved rounds; ± is half the distance between the quartiles.`,
    "÷ limit compares round by round with bare routing, or bridging, of the same reach; for CPU time more is worse.",
  ];
  return [intro.join("\n"), ...loads.map(renderLoad), ...notes].join("\n\n");
}

function renderLoad(result: LoadResult): string {
  const columns = columnsOf(result).map(([column]) => column);
  const rows = result.paths.map((path) => columnsOf(result).map(([, cell]) => cell(path)));
  const failed = result.paths
    .filter((path) => path.failed > 0)
    .map((path) => `${path.failed} requests failed over the path ${path.path}`);
  return [result.title, renderTable(columns, rows), ...failed].join("\n");
}

type CellOf = readonly [Column, (path: PathResult) => string];

function columnsOf({ unit, cpuUnit, isPaced, paths }: LoadResult): CellOf[] {
  const rate: CellOf[] = [
    [{ title: unit }, ({ rate }) => figure(rate.median)],
    [{ title: "" }, ({ rate }) => spreadOf(rate)],
    [{ title: "÷ limit" }, ({ rateRatio }) => ratio(rateRatio?.median)],
    [{ title: "" }, ({ rateRatio }) => (rateRatio === undefined ? "" : spreadOf(rateRatio))],
  ];
  const cpu: CellOf[] = [
    [{ title: `CPU ${cpuUnit}` }, ({ cpu: time }) => figure(time.median)],
    [{ title: "÷ limit" }, ({ cpuRatio }) => ratio(cpuRatio?.median)],
  ];
  const latency: CellOf[] = [
    [{ title: "p50 µs" }, ({ latency: of }) => figure(of?.p50Us ?? Number.NaN)],
    [{ title: "p99" }, ({ latency: of }) => figure(of?.p99Us ?? Number.NaN)],
    [{ title: "p99.9" }, ({ latency: of }) => figure(of?.p999Us ?? Number.NaN)],
  ];
  const hasLatency = paths.some((path) => path.latency !== undefined);
  return [
    [{ title: "path", align: "left" }, ({ path }) => path],
    ...(isPaced ? [] : rate),
    ...cpu,
    ...(hasLatency ? latency : []),
  ];
}
