/** Makes the kernel forget connections, through the `conntrack` tool: one run for all, however many they are. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SystemError } from "../../base/errors.ts";
import type { RunTool } from "../run.ts";
import type { Forget } from "./forget.ts";
import { deletionsOf, deletionsOfUnled } from "./forget.ts";

/** Forgets all of it; resolves when the kernel has. */
export async function forgetConnections(run: RunTool, forget: readonly Forget[]): Promise<void> {
  const unled = await Promise.all(forget.map((one) => listUnled(run, one)));
  const lines = [...forget.flatMap(deletionsOf), ...unled.flat()].map((line) => line.join(" "));
  if (lines.length === 0) return;
  await runCommands(run, lines);
}

/** By a file, for the tool opens /dev/stdin by name, which fails on the socket that Node gives a child. */
async function runCommands(run: RunTool, lines: readonly string[]): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "weft-conntrack-"));
  try {
    const path = join(directory, "commands");
    await writeFile(path, `${lines.join("\n")}\n`);
    const { status, stderr } = await run("conntrack", ["-R", path]);
    if (status !== 0) throw failure(stderr);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
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
