/** Runs batches of network commands: `ip -batch` or `bridge -batch` for each. */
import { SystemError } from "../../base/errors.ts";
import type { RunTool } from "../run.ts";
import { writeSysctl } from "../sysctl.ts";
import type { Batch, SettingBatch, ToolBatch } from "./batch.ts";

/** Runs all of them, or throws at the first thing that the kernel refuses. */
export async function execute(
  run: RunTool,
  batches: readonly Batch[],
  set: (setting: SettingBatch) => Promise<void> = ({ path, value }) => writeSysctl(path, value),
): Promise<void> {
  for (const batch of batches) {
    if (batch.tool === "sysctl") await set(batch);
    else await runBatch(run, batch, []);
  }
}

/** Takes away what is there of the named things; what is gone already is as wanted. */
export async function executeRemovals(run: RunTool, batches: readonly Batch[]): Promise<void> {
  for (const batch of batches) {
    if (batch.tool !== "sysctl") await runBatch(run, batch, ["-force"]);
  }
}

const IS_GONE =
  /No such (process|file or directory|device)|Cannot find device|Cannot assign requested/;

/** With the flag `-force`, what is gone already is as wanted. */
async function runBatch(run: RunTool, batch: ToolBatch, flags: readonly string[]): Promise<void> {
  const input = `${batch.lines.join("\n")}\n`;
  const [tool = "", ...family] = batch.tool.split(" ");
  const { status, stderr } = await run(tool, [...family, ...flags, "-batch", "-"], input);
  if (status === 0) return;
  if (flags.length > 0 && failures(stderr).every((line) => IS_GONE.test(line))) return;
  throw new SystemError(`${batch.tool} refused: ${stderr.trim().replaceAll("\n", "; ")}`, {
    cause: input,
  });
}

/** Each failure of a batch is two lines: what the kernel said, and which line of the batch it was. */
export function failures(stderr: string): string[] {
  return stderr.split("\n").filter((line) => line !== "" && !line.startsWith("Command failed"));
}
