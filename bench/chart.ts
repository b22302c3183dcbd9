/** The paths as one SVG: a panel for each load, a bar for each path, the quartiles as a whisker. Pure. */
import type { LoadResult, PathResult } from "./paths/measure.ts";
import { figure } from "./table.ts";

const WIDTH = 760;
const MARGIN = 16;
const NAME_WIDTH = 160;
const VALUE_WIDTH = 150;
const TITLE_HEIGHT = 34;
const BAR_HEIGHT = 16;
const BAR_GAP = 6;
const PANEL_GAP = 18;
const BARS_X = MARGIN + NAME_WIDTH;
const BARS_WIDTH = WIDTH - 2 * MARGIN - NAME_WIDTH - VALUE_WIDTH;

/** Colours that can be told apart in both schemes, by what a path is. */
const STYLE = `
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600 } .value { fill: #59636e }
  .limit { fill: #9aa4af } .weft { fill: #1f6feb } .rival { fill: #d4a72c }
  .whisker { stroke: #1f2328; stroke-opacity: .6 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .value { fill: #9198a1 } .whisker { stroke: #e6edf3 }
    .limit { fill: #656c76 } .weft { fill: #4493f8 } .rival { fill: #bb8009 }
  }`;

/** Loads at a given rate are left out: their result is a latency. */
export function drawPaths(loads: readonly LoadResult[], caption: string): string {
  const panels: string[] = [];
  let y = MARGIN;
  for (const load of loads.filter(({ isPaced }) => !isPaced)) {
    panels.push(panel(load, y));
    y += TITLE_HEIGHT + load.paths.length * (BAR_HEIGHT + BAR_GAP) + PANEL_GAP;
  }
  const height = y + MARGIN;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">`,
    `<title>${escape(caption)}</title>`,
    `<style>${STYLE}\n</style>`,
    ...panels,
    text(MARGIN, y, "value", caption),
    "</svg>",
    "",
  ].join("\n");
}

function panel(load: LoadResult, top: number): string {
  const most = Math.max(...load.paths.map(({ rate }) => rate.median + rate.spread));
  const scale = most > 0 ? BARS_WIDTH / most : 0;
  const bars = load.paths.map((path, index) =>
    bar(path, top + TITLE_HEIGHT + index * (BAR_HEIGHT + BAR_GAP), scale),
  );
  const title = text(MARGIN, top + BAR_HEIGHT, "title", `${load.title}, ${load.unit}`);
  return [title, ...bars].join("\n");
}

function bar({ path, rate, limit, rateRatio }: PathResult, y: number, scale: number): string {
  const [width, middle] = [rate.median * scale, y + BAR_HEIGHT / 2];
  const [from, to] = [rate.median - rate.spread, rate.median + rate.spread].map(
    (value) => BARS_X + value * scale,
  );
  const beside = rateRatio === undefined ? "" : ` (${rateRatio.median.toFixed(2)} of ${limit})`;
  const baseline = y + BAR_HEIGHT - 4;
  return [
    text(MARGIN, baseline, "name", path),
    `<rect class="${kindOf(path, limit)}" x="${BARS_X}" y="${y}" width="${round(width)}" height="${BAR_HEIGHT}"/>`,
    `<path class="whisker" d="M${round(from ?? 0)} ${middle}H${round(to ?? 0)}"/>`,
    text((to ?? 0) + 6, baseline, "value", `${figure(rate.median)}${beside}`),
  ].join("\n");
}

function kindOf(path: string, limit: string | undefined): string {
  if (limit === undefined) return "limit";
  return path.startsWith("Weft") ? "weft" : "rival";
}

function text(x: number, y: number, kind: string, content: string): string {
  return `<text class="${kind}" x="${round(x)}" y="${round(y)}">${escape(content)}</text>`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escape(content: string): string {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
