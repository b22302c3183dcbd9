/**
 * `node worker.ts PLAN`, in a host's network: brings the kernel to a mesh of many services, changes one
 * endpoint again and again, and prints what that took. The kernel keeps the mesh when this has ended.
 */
import { readFileSync } from "node:fs";
import { createLogger } from "../../src/base/logger.ts";
import { openConntrack } from "../../src/datapath/conntrack/open.ts";
import { Datapath } from "../../src/datapath/datapath.ts";
import { openNft } from "../../src/datapath/nft/open.ts";
import { runTool } from "../../src/datapath/run.ts";
import { timed } from "../../src/lab/timed.ts";
import { type ScaleInit, scaleView, withDraining } from "./view.ts";

export interface ScalePlan extends ScaleInit {
  /** How many times one endpoint is changed. */
  readonly changes: number;
}

export interface ScaleTimes {
  readonly firstApplyMs: number;
  readonly changeMs: readonly number[];
  /** Commands of the last change: what the plan found to do. */
  readonly changeCommands: number;
  /** An apply that finds nothing to do. */
  readonly idleMs: number;
  /** A start beside a kernel that has it all: read back, compared, nothing changed. */
  readonly adoptMs: number;
  readonly residentBytes: number;
  /** CPU time of this process for one change, the kernel's work for it included. */
  readonly cpuMsPerChange: number;
  readonly kernelBytes: number;
}

async function main(plan: ScalePlan): Promise<void> {
  const log = createLogger({ level: "error" });
  const conntrack = await openConntrack(log, runTool);
  const components = { log, nft: await openNft(log, runTool), run: runTool, conntrack };
  const datapath = new Datapath(components, { memoPath: "/run/bench-datapath.json" });
  const view = scaleView(plan);
  const kernelBefore = kernelBytes();
  const firstApplyMs = await timed(() => datapath.apply(view));
  const kernelAfter = kernelBytes();
  const residentBytes = process.memoryUsage.rss();
  const changeMs: number[] = [];
  let changeCommands = 0;
  const cpuBefore = process.cpuUsage();
  for (let change = 0; change < plan.changes; change++) {
    const service = Math.floor((plan.services * change) / plan.changes);
    const changed = withDraining(view, service, change + 2);
    changeMs.push(
      await timed(async () => {
        const { changes } = await datapath.apply(changed);
        changeCommands = changes;
      }),
    );
    await datapath.apply(view);
  }
  const cpu = process.cpuUsage(cpuBefore);
  const idleMs = await timed(() => datapath.apply(view));
  const adoptMs = await timed(async () => {
    const successor = new Datapath(components, { memoPath: "/run/bench-datapath.json" });
    const { changes } = await successor.apply(view);
    if (changes > 0) throw new Error(`a successor found ${changes} things to change`);
  });
  const times: ScaleTimes = {
    firstApplyMs,
    changeMs,
    changeCommands,
    idleMs,
    adoptMs,
    residentBytes,
    cpuMsPerChange: (cpu.user + cpu.system) / 1_000 / (2 * plan.changes),
    kernelBytes: kernelAfter - kernelBefore,
  };
  process.stdout.write(JSON.stringify(times));
  await components.nft.close();
}

/** What the kernel holds for itself: slabs, vmalloc and per-CPU memory. Other programs move it too. */
function kernelBytes(): number {
  const meminfo = readFileSync("/proc/meminfo", "utf8");
  const kilobytes = (name: string) =>
    Number(new RegExp(`^${name}: +(\\d+) kB`, "m").exec(meminfo)?.[1] ?? 0);
  return ["Slab", "VmallocUsed", "Percpu"].reduce((sum, name) => sum + kilobytes(name), 0) * 1_024;
}

if (import.meta.main) await main(JSON.parse(process.argv[2] ?? "{}") as ScalePlan);
