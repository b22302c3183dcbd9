/** Runs one kernel tool: an argument array, never a shell; what it should read, by stdin. */
import { spawn } from "node:child_process";
import { SystemError } from "../base/errors.ts";

export interface ToolResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export type RunTool = (
  tool: string,
  args: readonly string[],
  stdin?: string,
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

export const runTool: RunTool = (tool, args, stdin = "") =>
  new Promise((resolve, reject) => {
    const child = spawn(tool, args, { stdio: "pipe", timeout: TOOL_DEADLINE_MS });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
    child.on("error", (cause) => reject(cannotRun(tool, cause)));
    child.on("close", (code, signal) => {
      if (code === null) reject(new SystemError(`${tool} was ended by ${signal}`));
      else resolve({ status: code, stdout: text(stdout), stderr: text(stderr) });
    });
    // A tool that ends before it has read everything says why on stderr; the broken pipe adds nothing.
    child.stdin.on("error", () => {});
    child.stdin.end(stdin);
  });

function cannotRun(tool: string, cause: NodeJS.ErrnoException): SystemError {
  const from = PACKAGE_OF[tool] ?? tool;
  const cure = cause.code === "ENOENT" ? ` (install the package ${from})` : "";
  return new SystemError(`cannot run ${tool}: ${cause.message}${cure}`, { cause });
}

function text(chunks: readonly Buffer[]): string {
  return Buffer.concat(chunks).toString("utf8");
}
