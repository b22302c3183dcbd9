/**
 * `node worker.ts PLAN`, in a host's network: brings the kernel to many overlay networks with a container each, changes
 * one endpoint of one of them again and again, and prints what that took.
 */
import { systemClock } from "../../src/base/clock.ts";
import { createLogger } from "../../src/base/logger.ts";
import { openConntrack } from "../../src/datapath/conntrack/open.ts";
import { Datapath } from "../../src/datapath/datapath.ts";
import { openNft } from "../../src/datapath/nft/open.ts";
import { runTool } from "../../src/datapath/run.ts";
import { timed } from "../../src/lab/timed.ts";
import { type NetworksInit, networksView, withDrainingIn } from "./view.ts";

export interface NetworksWork extends NetworksInit {
  readonly changes: number;
}

export interface NetworksTimes {
  readonly firstApplyMs: number;
  readonly changeMs: readonly number[];
  readonly cpuMsPerChange: number;
  readonly idleMs: number;
  readonly residentBytes: number;
}

async function main(plan: NetworksWork): Promise<void> {
  const log = createLogger({ level: "error" });
  const conntrack = await openConntrack(log, runTool);
  const components = { log, nft: await openNft(log, runTool), run: runTool, conntrack };
  const init = { memoPath: "/run/bench-datapath.json" };
  const datapath = new Datapath({ ...components, clock: systemClock }, init);
  const view = networksView(plan);
  const firstApplyMs = await timed(() => datapath.apply(view));
  const residentBytes = process.memoryUsage.rss();
  const changeMs: number[] = [];
  const cpuBefore = process.cpuUsage();
  for (let change = 0; change < plan.changes; change++) {
    const network = Math.floor((plan.networks * change) / plan.changes);
    const changed = withDrainingIn(view, network, change + 2);
    changeMs.push(await timed(() => datapath.apply(changed)));
    await datapath.apply(view);
  }
  const cpu = process.cpuUsage(cpuBefore);
  const times: NetworksTimes = {
    ...{ firstApplyMs, changeMs, residentBytes },
    idleMs: await timed(() => datapath.apply(view)),
    cpuMsPerChange: (cpu.user + cpu.system) / 1_000 / (2 * plan.changes),
  };
  process.stdout.write(JSON.stringify(times));
  await components.nft.close();
}

if (import.meta.main) await main(JSON.parse(process.argv[2] ?? "{}") as NetworksWork);
