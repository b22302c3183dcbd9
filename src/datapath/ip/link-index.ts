/** The kernel's numbers of links: asked of the C library, which costs a microsecond; of `ip` where that cannot be called. */
import { libc } from "../../base/libc.ts";
import { numberOf, objectsOf } from "../json.ts";
import type { RunTool } from "../run.ts";
import { nameOf } from "./listing.ts";

/** By name, of those of these links that are there. A link that is made anew has another. */
export async function linkIndexes(
  run: RunTool,
  names: Iterable<string>,
): Promise<ReadonlyMap<string, number>> {
  const asked = [...names];
  return askLibrary(asked) ?? (await linkIndexesByTool(run, asked));
}

/** Undefined where it cannot be called. */
function askLibrary(names: readonly string[]): ReadonlyMap<string, number> | undefined {
  try {
    const { if_nametoindex } = libc();
    const asked = names.map((name) => [name, if_nametoindex(name)] as const);
    return new Map(asked.filter(([, index]) => index > 0));
  } catch {
    return undefined;
  }
}

/** The same by one process for all of them; of a link that is not there it says so, and goes on. */
export async function linkIndexesByTool(
  run: RunTool,
  names: readonly string[],
): Promise<ReadonlyMap<string, number>> {
  if (names.length === 0) return new Map();
  const input = names.map((name) => `link show dev ${name}\n`).join("");
  const { stdout } = await run("ip", ["-json", "-force", "-batch", "-"], input);
  const listed = stdout.split("\n").filter((line) => line.trim() !== "");
  const links = listed.flatMap((line) => objectsOf(JSON.parse(line), "ip link show"));
  return new Map(links.map((link) => [nameOf(link), numberOf(link, "ifindex") ?? 0]));
}
