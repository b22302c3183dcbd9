/**
 * What a host looks like to its administrator: links, routes, rules, sockets, containers. Two looks
 * are compared to say what something has left behind.
 */
import assert from "node:assert/strict";
import type { Host } from "../../../src/lab/host.ts";

export type Traces = Readonly<Record<string, readonly string[]>>;

/** Each command's lines, sorted and without what changes by itself. */
const COMMANDS: Readonly<Record<string, readonly string[]>> = {
  rules: ["nft", "list", "ruleset"],
  routes: ["ip", "-4", "route", "show", "table", "all"],
  "IPv6 routes": ["ip", "-6", "route", "show", "table", "all"],
  "policy rules": ["ip", "rule"],
  links: ["ip", "-brief", "link"],
  neighbours: ["ip", "neigh", "show", "nud", "permanent"],
  "proxied neighbours": ["ip", "neigh", "show", "proxy"],
  forwarding: ["bridge", "fdb", "show"],
  listeners: ["ss", "-Hltnu"],
  containers: ["docker", "ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Names}}"],
  networks: ["docker", "network", "ls", "--format", "{{.Name}} {{.Driver}}"],
};

/** Looks at a host; `more` are further commands of the same kind. */
export async function tracesOf(
  host: Host,
  more: Readonly<Record<string, readonly string[]>> = {},
): Promise<Traces> {
  const looks = Object.entries({ ...COMMANDS, ...more }).map(async ([what, argv]) => {
    const text = await host.execOk(argv);
    return [what, normalised(text)] as const;
  });
  return Object.fromEntries(await Promise.all(looks));
}

/** Settings of the kernel that are nobody's trace: counters and what follows the load. */
const VOLATILE = /nf_conntrack_count|\.gc_|nf_conntrack_generic|random|neigh\.[^.]+\.(gc|locktime)/;
const FILES = [
  "/run/weft",
  "/run/weft.sock",
  "/run/docker/plugins",
  "/etc/docker",
  "/etc/firewalld",
  "/etc/ufw",
  "/var/lib/weft",
];

/** As `tracesOf`, with all that a reset must take away: files, plugins, processes and settings of the kernel too. */
export async function everythingOf(
  host: Host,
  more: Readonly<Record<string, readonly string[]>> = {},
): Promise<Traces> {
  const traces = await tracesOf(host, {
    ...more,
    plugins: ["docker", "info", "--format", "{{json .Plugins.Network}}"],
  });
  // Some of them are not there, which find says by its status.
  const files = await host.exec(["find", ...FILES]);
  const processes = await host.execOk(["ps", "-eo", "args"]);
  const sysctls = await host.execOk(["sysctl", "-a", "--pattern", "^net\\."]);
  return {
    ...traces,
    files: linesOf(files.stdout),
    processes: linesOf(processes).filter((line) => /bin\/weft|cli\/main|keeper/.test(line)),
    sysctls: linesOf(sysctls).filter((line) => !VOLATILE.test(line)),
  };
}

/** Fails with the lines that came and went, by command. */
export function assertSameTraces(host: Host, before: Traces, after: Traces): void {
  assert.deepEqual(difference(before, after), {}, `traces on ${host.name}`);
}

/** Lines only in `after` begin with +, lines only in `before` with -. */
export function difference(before: Traces, after: Traces): Record<string, string[]> {
  const found: Record<string, string[]> = {};
  for (const what of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const [was, is] = [before[what] ?? [], after[what] ?? []];
    const changes = [
      ...without(is, was).map((line) => `+ ${line}`),
      ...without(was, is).map((line) => `- ${line}`),
    ];
    if (changes.length > 0) found[what] = changes;
  }
  return found;
}

/** Counters count, a socket's queue fills, a bridge has no carrier without containers: none is a trace. */
function normalised(text: string): string[] {
  return (
    text
      .split("\n")
      .map((line) => line.replace(/^(docker0|br-\S+) .*(UP|DOWN|UNKNOWN) .*/, "$1"))
      .map((line) => line.replace(/counter packets \d+ bytes \d+/g, "counter"))
      .map((line) => line.replace(/^((?:tcp|udp)\s+\S+)\s+\d+\s+\d+/, "$1"))
      .map((line) => line.replace(/expires \S+| linkdown/g, "").trim())
      // A new link's own address is there once nobody else on it was found to have it, its groups when the kernel joins them.
      .filter(
        (line) => line !== "" && !line.startsWith("local fe80:") && !line.startsWith("33:33:"),
      )
      .sort()
  );
}

function without(lines: readonly string[], others: readonly string[]): string[] {
  const left = [...others];
  return lines.filter((line) => {
    const index = left.indexOf(line);
    if (index < 0) return true;
    left.splice(index, 1);
    return false;
  });
}

function linesOf(text: string): string[] {
  return text.split("\n").filter((line) => line !== "");
}
