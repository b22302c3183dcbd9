/** The names of the links that exist, without spawning anything: asked before every change. */
import { readFileSync } from "node:fs";

/** Per network namespace of the reader, unlike /sys/class/net, which is of the one that mounted it. */
const DEVICES = "/proc/net/dev";
const HEADING_LINES = 2;

export function linkNames(): ReadonlySet<string> {
  const lines = readFileSync(DEVICES, "utf8").split("\n").slice(HEADING_LINES);
  return new Set(
    lines.map((line) => line.split(":")[0]?.trim() ?? "").filter((name) => name !== ""),
  );
}
