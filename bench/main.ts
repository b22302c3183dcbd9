/** `npm run bench`: runs the parts that were asked for, and prints what they found. */
import { writeFileSync } from "node:fs";
import { messageOf } from "../src/base/errors.ts";
import { drawPaths } from "./chart.ts";
import { benchControl } from "./control/control.ts";
import { startCPUMeter } from "./cpu.ts";
import { benchFailures } from "./failures/failures.ts";
import { benchLists } from "./lists/lists.ts";
import { busyShare, describeMachine } from "./machine.ts";
import { benchNames } from "./names/names.ts";
import { benchNetworks } from "./networks/networks.ts";
import { type Options, parseOptions, USAGE } from "./options.ts";
import { benchOverlays } from "./overlays/overlays.ts";
import { benchPaths } from "./paths/paths.ts";
import { createProgress } from "./progress.ts";
import { chartCaption, type Report, renderReport } from "./report.ts";
import { benchScale } from "./scale/scale.ts";

try {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) process.stdout.write(USAGE);
  else await main(options);
} catch (error) {
  process.stderr.write(`\nbench: ${messageOf(error)}\n`);
  process.exitCode = 1;
}

async function main(options: Options): Promise<void> {
  const report = await measure(options);
  if (options.chart !== undefined && report.paths !== undefined) {
    writeFileSync(options.chart, drawPaths(report.paths.loads, chartCaption(report)));
  }
  if (options.format === "json") process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  else process.stdout.write(renderReport(report));
}

async function measure(options: Options): Promise<Report> {
  const startedAt = new Date().toISOString();
  const start = performance.now();
  using _meter = startCPUMeter();
  const busyBefore = await busyShare();
  const progress = createProgress(process.stderr);
  const has = (part: (typeof options.parts)[number]) => options.parts.includes(part);
  const paths = has("paths") ? await benchPaths(options, progress) : undefined;
  const overlays = has("overlays") ? await benchOverlays(options, progress) : undefined;
  const scale = has("scale") ? await benchScale(options, progress) : undefined;
  const networks = has("networks") ? await benchNetworks(options, progress) : undefined;
  const control = has("control") ? await benchControl(options, progress) : undefined;
  const failures = has("failures") ? await benchFailures(options, progress) : undefined;
  const lists = has("lists") ? await benchLists(options, progress) : undefined;
  const names = has("names") ? await benchNames(options, progress) : undefined;
  progress.end();
  return {
    startedAt,
    seconds: (performance.now() - start) / 1_000,
    isQuick: options.isQuick,
    machine: await describeMachine(busyBefore),
    ...(paths === undefined ? {} : { paths }),
    ...(overlays === undefined ? {} : { overlays }),
    ...(scale === undefined ? {} : { scale }),
    ...(networks === undefined ? {} : { networks }),
    ...(control === undefined ? {} : { control }),
    ...(failures === undefined ? {} : { failures }),
    ...(lists === undefined ? {} : { lists }),
    ...(names === undefined ? {} : { names }),
  };
}
