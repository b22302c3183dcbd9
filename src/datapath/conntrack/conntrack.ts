/** Makes the kernel forget connections, through the `conntrack` tool: one run for all, however many they are. */
import { SystemError } from "../../base/errors.ts";
import type { RunTool } from "../run.ts";
import type { Forget } from "./forget.ts";
import { deletionsOf, deletionsOfUnled } from "./forget.ts";

/** Forgets all of it; resolves when the kernel has. */
export async function forgetConnections(run: RunTool, forget: readonly Forget[]): Promise<void> {
  const unled = await Promise.all(forget.map((one) => listUnled(run, one)));
  const lines = [...forget.flatMap(deletionsOf), ...unled.flat()].map((line) => line.join(" "));
  if (lines.length === 0) return;
  const { status, stderr } = await run("conntrack", ["-R", "-"], `${lines.join("\n")}\n`);
  if (status !== 0) throw failure(stderr);
}

async function listUnled(run: RunTool, forget: Forget): Promise<string[][]> {
  if (forget.kind !== "unled-udp") return [];
  const port = ["--orig-port-dst", `${forget.port}`];
  const listed = await run("conntrack", ["-L", "-p", "udp", ...port, "-o", "save"]);
  if (listed.status !== 0) throw failure(listed.stderr);
  return deletionsOfUnled(listed.stdout);
}

function failure(stderr: string): SystemError {
  return new SystemError(`conntrack failed: ${stderr.trim().replaceAll("\n", "; ")}`);
}
