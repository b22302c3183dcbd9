/** The one seam to the tools that change the host's network, `ip`, `bridge` and `nft`: argument arrays and batches on stdin, never a shell. */
import { spawn } from "node:child_process";
import { SystemError } from "../base/errors.ts";

/** `ip` answers in milliseconds; one that takes this long is stuck, is killed, and the call fails. */
const IP_TIMEOUT_MS = 5_000;
/** More output than this is no answer to what the keeper asks; the call fails. */
const IP_OUTPUT_BYTES_MAX = 16 * 1024 * 1024;

/** Runs `ip` with these arguments and resolves with its output; a failure carries what it said. */
export function ip(args: readonly string[], input = ""): Promise<string> {
  return run("ip", args, input);
}

function run(
  tool: "ip" | "bridge" | "nft",
  args: readonly string[],
  input: string,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(tool, args, { stdio: ["pipe", "pipe", "pipe"], timeout: IP_TIMEOUT_MS });
    let output = "";
    let complaint = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      if (output.length > IP_OUTPUT_BYTES_MAX) child.kill("SIGKILL");
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      if (complaint.length < IP_OUTPUT_BYTES_MAX) complaint += text;
    });
    child.on("error", (cause) => {
      reject(new SystemError(`${tool} cannot be run: ${cause.message}`, { cause }));
    });
    child.on("close", (code, signal) => {
      if (code === 0) return resolve(output);
      const end = code === null ? `ended by ${signal}` : `exit status ${code}`;
      reject(new SystemError(`${tool} ${args.join(" ")}: ${complaint.trim() || end}`));
    });
    // A child that ends before it has read everything says so by its exit status.
    child.stdin.on("error", () => {});
    child.stdin.end(input);
  });
}

/** One process for many commands; it stops at the first that fails. */
export async function ipBatch(commands: readonly string[]): Promise<void> {
  await ip(["-batch", "-"], `${commands.join("\n")}\n`);
}

/** The same for `bridge`. */
export async function bridgeBatch(commands: readonly string[]): Promise<void> {
  await run("bridge", ["-batch", "-"], `${commands.join("\n")}\n`);
}

/** The same for `nft`, all of it or nothing. */
export async function nftBatch(commands: readonly string[]): Promise<void> {
  await run("nft", ["-f", "-"], `${commands.join("\n")}\n`);
}
