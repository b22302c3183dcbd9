/** Runs commands on the overlay networks' links. */
import type { SettingBatch } from "../ip/batch.ts";
import { execute, executeRemovals } from "../ip/execute.ts";
import type { RunTool } from "../run.ts";
import { readSysctl, writeSysctl } from "../sysctl.ts";
import type { OverlayCommand } from "./command.ts";
import { overlayBatches } from "./command.ts";

/** Runs all commands, or throws at the first that the kernel refuses. */
export async function executeLinks(
  run: RunTool,
  commands: readonly OverlayCommand[],
): Promise<void> {
  await execute(run, overlayBatches(commands), setIfThere);
}

/** A link has no settings of IPv6 for as long as its MTU is too small: the next audit finds them. */
async function setIfThere({ path, value }: SettingBatch): Promise<void> {
  if (path.startsWith("net/ipv6/") && readSysctl(path) === undefined) return;
  await writeSysctl(path, value);
}

/** Takes away what is there of the named things; what is gone already is as wanted. */
export async function executeLinkRemovals(
  run: RunTool,
  commands: readonly OverlayCommand[],
): Promise<void> {
  await executeRemovals(run, overlayBatches(commands));
}
