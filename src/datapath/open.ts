/** Makes a datapath on this host's kernel, with its auditor: what the composition root asks for. */
import type { Clock } from "../base/clock.ts";
import type { Logger } from "../base/logger.ts";
import type { Meters } from "../base/meters.ts";
import { Auditor, type AuditorInit } from "./auditor.ts";
import { openConntrack, openFlowMeter } from "./conntrack/open.ts";
import { Datapath, type DatapathInit } from "./datapath.ts";
import type { Drift } from "./describe.ts";
import { openNft } from "./nft/open.ts";
import { runTool } from "./run.ts";

export interface OpenDatapathComponents {
  readonly log: Logger;
  readonly clock: Clock;
  readonly onDrift?: (drifts: readonly Drift[]) => void;
  readonly meters?: Meters;
}

export interface OpenDatapath {
  readonly datapath: Datapath;
  /** Not started. */
  readonly auditor: Auditor;
  /** Stops the auditor and lets go of nftables; what the kernel holds stays. */
  close(): Promise<void>;
}

export async function openDatapath(
  { log, clock, onDrift, meters }: OpenDatapathComponents,
  init: DatapathInit & AuditorInit = {},
): Promise<OpenDatapath> {
  const measuring = meters === undefined ? {} : { meters };
  const nft = await openNft(log, runTool);
  const conntrack = await openConntrack(log, runTool);
  const flows = await openFlowMeter(log, clock);
  const counting = flows === undefined ? {} : { flows };
  const datapath = new Datapath(
    { log, nft, run: runTool, conntrack, clock, ...measuring, ...counting },
    init,
  );
  const watching = onDrift === undefined ? {} : { onDrift };
  const auditor = new Auditor({ datapath, clock, log, ...watching }, init);
  return {
    datapath,
    auditor,
    async close() {
      await auditor.stop();
      await datapath.stop();
      await flows?.stop();
      await nft.close();
      await conntrack.close();
    },
  };
}
