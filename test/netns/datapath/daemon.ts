/**
 * A datapath in a process of its own, as a daemon holds one: reads one request a line on stdin, answers
 * one line on stdout. Started inside a namespace; a test that kills it leaves the kernel's state behind.
 */
import { createInterface } from "node:readline";
import { systemClock } from "../../../src/base/clock.ts";
import { createLogger } from "../../../src/base/logger.ts";
import { Auditor } from "../../../src/datapath/auditor.ts";
import { conntrackTool, openConntrack } from "../../../src/datapath/conntrack/open.ts";
import { Datapath } from "../../../src/datapath/datapath.ts";
import { openNft, openSpawned } from "../../../src/datapath/nft/open.ts";
import { runTool } from "../../../src/datapath/run.ts";
import { viewFromJSON } from "./view-json.ts";

const [memoPath = "", nftKind = "library"] = process.argv.slice(2);
const log = createLogger({ level: "warn" });
const nft = nftKind === "spawn" ? await openSpawned(runTool) : await openNft(log, runTool);
const conntrack = nftKind === "spawn" ? conntrackTool(runTool) : await openConntrack(log, runTool);
const datapath = new Datapath({ log, nft, run: runTool, conntrack }, { memoPath });
const auditor = new Auditor({ datapath, clock: systemClock, log });

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line) as { call: string; view?: unknown };
  const answer = await call(request).catch((error: unknown) => ({ error: String(error) }));
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await auditor.stop();
await nft.close();
await conntrack.close();

async function call(request: { call: string; view?: unknown }): Promise<unknown> {
  switch (request.call) {
    case "adopt":
      await datapath.adopt();
      return {};
    case "apply":
      return await datapath.apply(viewFromJSON(request.view));
    case "watch":
      auditor.start();
      return {};
    case "audit":
      return await datapath.audit();
    case "reset":
      await datapath.reset();
      return {};
    default:
      throw new Error(`no call ${request.call}`);
  }
}
