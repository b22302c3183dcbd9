/** The names of the links that exist, without spawning anything: asked before every change. */
import { readFile } from "node:fs/promises";

/** Per network namespace of the reader, unlike /sys/class/net, which is of the one that mounted it. */
const DEVICES = "/proc/net/dev";
const HEADING_LINES = 2;

export async function linkNames(): Promise<ReadonlySet<string>> {
  const lines = (await readFile(DEVICES, "utf8")).split("\n").slice(HEADING_LINES);
  return new Set(
    lines.map((line) => line.split(":")[0]?.trim() ?? "").filter((name) => name !== ""),
  );
}
