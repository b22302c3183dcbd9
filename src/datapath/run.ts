/** Runs one kernel tool: an argument array, never a shell; what it should read, by stdin. */
import { SystemError } from "../base/errors.ts";
import { CannotRunError, type ProgramResult, runProgram } from "../base/program.ts";

export type ToolResult = ProgramResult;

export type RunTool = (
  tool: string,
  args: readonly string[],
  stdin?: string,
  /** Ends the tool, whose run is an error then. */
  signal?: AbortSignal,
) => Promise<ToolResult>;

/** A tool that takes longer hangs; it is killed, and its run is an error. */
const TOOL_DEADLINE_MS = 30_000;
/** The packages that hold the tools, so that an error names the cure. */
const PACKAGE_OF: Readonly<Record<string, string>> = {
  ip: "iproute2",
  bridge: "iproute2",
  nft: "nftables",
  conntrack: "conntrack",
  "firewall-cmd": "firewalld",
  nsenter: "util-linux",
};

export const runTool: RunTool = async (tool, args, input = "", signal) => {
  try {
    return await runProgram(tool, args, { input, deadlineMs: TOOL_DEADLINE_MS, signal });
  } catch (error) {
    if (!(error instanceof CannotRunError) || error.errorName !== "ENOENT") throw error;
    const cure = `install the package ${PACKAGE_OF[tool] ?? tool}`;
    throw new SystemError(`${error.message} (${cure})`, { cause: error });
  }
};
