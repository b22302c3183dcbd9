/** The names of the links that exist, without spawning anything: asked before every change. */
import { existsSync, readFileSync } from "node:fs";

/** Per network namespace of the reader, unlike /sys/class/net, which is of the one that mounted it. */
const DEVICES = "/proc/net/dev";
const HEADING_LINES = 2;

export function linkNames(): ReadonlySet<string> {
  const lines = readFileSync(DEVICES, "utf8").split("\n").slice(HEADING_LINES);
  return new Set(
    lines.map((line) => line.split(":")[0]?.trim() ?? "").filter((name) => name !== ""),
  );
}

/** With more names than these the list of all links is quicker than a look for each. */
const LOOKS_MAX = 200;

/** Those of these links that are there, and perhaps others. */
export function linksThere(names: readonly string[]): ReadonlySet<string> {
  return names.length > LOOKS_MAX ? linkNames() : new Set(names.filter(isLink));
}

/** Every link has settings of IPv4; of the reader's network namespace too. */
const SETTINGS = "/proc/sys/net/ipv4/conf";

/** Whether there is such a link: for a few of thousands, as the list of all comes with their counters. */
export function isLink(name: string): boolean {
  return existsSync(`${SETTINGS}/${name}`);
}
