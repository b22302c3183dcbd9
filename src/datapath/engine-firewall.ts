/**
 * The one exception to "own tables only": an Engine's FORWARD chain drops what it does not know, and an
 * accept in another table does not save a packet from it. So Weft's links are accepted in DOCKER-USER, the
 * chain that Docker leaves to its users. Written by `iptables` and not by nft, because the Engine may use either
 * backend and reads its chains with that tool; read through nft where they are nftables', which takes no process.
 * Who empties FORWARD (`iptables -F`) leaves that chain behind and nothing that leads to it: the Engine's own rule is put back.
 * Most Engines leave IPv6 alone, and then who drops is another, such as ufw: there they are accepted in FORWARD itself.
 */
import { readFileSync } from "node:fs";
import { SystemError } from "../base/errors.ts";
import { BRIDGE_PREFIX } from "../base/overlay-links.ts";
import { decodeForwarding } from "./engine-chain.ts";
import { LINK, TASK_LINK_PREFIX } from "./names.ts";
import type { Nft } from "./nft/nft.ts";
import type { RunTool, ToolResult } from "./run.ts";

const CHAIN = "DOCKER-USER";
const FORWARD = "FORWARD";
/** No comment names them as Weft's, as the links do: it would be compared for every packet, and cost as much as the rule. */
const TARGET = "-j ACCEPT";
/** Of users' overlay networks; with br_netfilter, frames between two ports of one meet FORWARD too. */
const BRIDGES = `${BRIDGE_PREFIX}+`;

/** As `iptables -S` prints them, without the chain; each is put before those above it, so the tasks' are met first. */
export const ACCEPT_RULES: readonly string[] = [
  `-i ${BRIDGES} -o ${BRIDGES} ${TARGET}`,
  ...[LINK, `${TASK_LINK_PREFIX}+`].flatMap((link) => [
    `-i ${link} ${TARGET}`,
    `-o ${link} ${TARGET}`,
  ]),
];

/** How the Engine has FORWARD lead to its users' chain. */
const JUMP = `-j ${CHAIN}`;

/** IPv4's and IPv6's: an Engine has a chain in either, or in IPv4's alone. */
export const FIREWALL_TOOLS = ["iptables", "ip6tables"] as const;
export type FirewallTool = (typeof FIREWALL_TOOLS)[number];

/** Which tables the legacy tools have made. */
export const LEGACY_TABLES: Readonly<Record<FirewallTool, string>> = {
  iptables: "/proc/net/ip_tables_names",
  ip6tables: "/proc/net/ip6_tables_names",
};

export type EngineFirewall =
  | {
      readonly kind: "chain";
      readonly tool: string;
      readonly chain: string;
      readonly rules: readonly string[];
      /** Whether it drops without them. */
      readonly isNeeded: boolean;
      /** Whether packets get there, or need not: false where FORWARD drops and no longer leads to the chain. */
      readonly isReached: boolean;
    }
  /** No DOCKER-USER, and the host's own policy drops what is forwarded: nothing Weft may change. */
  | { readonly kind: "drops" }
  | { readonly kind: "none" };

/** nftables' name of the family. */
const FAMILIES: Readonly<Record<FirewallTool, string>> = { iptables: "ip", ip6tables: "ip6" };

/** What stands between the mesh and its packets on this host. */
export async function readEngineFirewall(
  { nft, run }: { readonly nft: Nft; readonly run: RunTool },
  tool: FirewallTool = "iptables",
): Promise<EngineFirewall> {
  const table = `${FAMILIES[tool]} filter`;
  const chain = await nft.list(`chain ${table} ${CHAIN}`);
  const forward = decodeForwarding(await nft.list(`chain ${table} ${FORWARD}`));
  if (chain !== undefined) {
    const rules = decodeForwarding(chain).accepts;
    const isReached = forward.policy !== "drop" || forward.jumps.has(CHAIN);
    return { kind: "chain", tool: `${tool}-nft`, chain: CHAIN, rules, isNeeded: true, isReached };
  }
  const isLegacy = await isLegacyUsed(tool);
  const legacy = isLegacy ? await readLegacy(run, tool) : NOTHING;
  if (legacy.kind !== "none") return legacy;
  if (tool === "ip6tables") return await readForward6({ nft, run });
  return forward.policy === "drop" ? { kind: "drops" } : NOTHING;
}

/** IPv6's FORWARD, as the chain of whoever drops there; none where it neither drops nor has rules of Weft's. */
export async function readForward6({
  nft,
  run,
}: {
  readonly nft: Nft;
  readonly run: RunTool;
}): Promise<EngineFirewall> {
  const family = "ip6tables";
  const { policy, accepts } = decodeForwarding(
    await nft.list(`chain ${FAMILIES[family]} filter ${FORWARD}`),
  );
  const found = forwardChain(`${family}-nft`, accepts, policy === "drop");
  if (found.kind !== "none" || !(await isLegacyUsed(family))) return found;
  const tool = `${family}-legacy`;
  const { stdout = "" } = (await tryRun(run, tool, ["-w", "-S", FORWARD])) ?? {};
  return forwardChain(tool, rulesOf(stdout, FORWARD), stdout.startsWith(`-P ${FORWARD} DROP`));
}

function forwardChain(tool: string, rules: readonly string[], isNeeded: boolean): EngineFirewall {
  const isAny = isNeeded || rules.some((rule) => ACCEPT_RULES.includes(rule));
  return isAny
    ? { kind: "chain", tool, chain: FORWARD, rules, isNeeded, isReached: true }
    : NOTHING;
}

const NOTHING: EngineFirewall = { kind: "none" };

async function readLegacy(run: RunTool, family: FirewallTool): Promise<EngineFirewall> {
  const tool = `${family}-legacy`;
  const { stdout = "" } = (await tryRun(run, tool, ["-w", "-S"])) ?? {};
  const lines = stdout.split("\n");
  const isDropping = lines.includes(`-P ${FORWARD} DROP`);
  if (lines.includes(`-N ${CHAIN}`)) {
    const rules = rulesOf(stdout, CHAIN);
    const isReached = !isDropping || rulesOf(stdout, FORWARD).includes(JUMP);
    return { kind: "chain", tool, chain: CHAIN, rules, isNeeded: true, isReached };
  }
  return isDropping && family === "iptables" ? { kind: "drops" } : NOTHING;
}

/** Which of the accepting rules are not there. */
export function missingRules(firewall: EngineFirewall): readonly string[] {
  if (firewall.kind !== "chain" || !firewall.isNeeded) return [];
  return ACCEPT_RULES.filter((rule) => !firewall.rules.includes(rule));
}

/** Inserted at the head, before the RETURN that Docker puts at the end. */
export async function acceptLinks(
  run: RunTool,
  firewall: EngineFirewall,
  rules: readonly string[],
): Promise<void> {
  await restore(
    run,
    firewall,
    rules.map((rule) => `-I ${chainOf(firewall)} ${rule}`),
  );
}

/** What FORWARD lacks where it drops and no longer leads to the Engine's chain, as after `iptables -F`; undefined where it lacks nothing. */
export function missingWay(firewall: EngineFirewall): string | undefined {
  return firewall.kind === "chain" && !firewall.isReached ? JUMP : undefined;
}

/** The Engine's own rule, where the Engine puts it. It takes it out for moments itself, so it is asked for once more. */
export async function leadToChain(run: RunTool, firewall: EngineFirewall): Promise<void> {
  const way = missingWay(firewall);
  if (firewall.kind !== "chain" || way === undefined) return;
  const { status } = await run(firewall.tool, ["-w", "-C", FORWARD, ...way.split(" ")]);
  if (status !== 0) await restore(run, firewall, [`-I ${FORWARD} ${way}`]);
}

/** Takes Weft's rules out again, each as often as it is there. */
export async function removeAccepts(run: RunTool, firewall: EngineFirewall): Promise<void> {
  if (firewall.kind !== "chain") return;
  const ours = firewall.rules.filter((rule) => ACCEPT_RULES.includes(rule));
  await restore(
    run,
    firewall,
    ours.map((rule) => `-D ${firewall.chain} ${rule}`),
  );
}

async function restore(run: RunTool, firewall: EngineFirewall, lines: readonly string[]) {
  if (firewall.kind !== "chain" || lines.length === 0) return;
  const input = ["*filter", ...lines, "COMMIT", ""].join("\n");
  const { status, stderr } = await run(`${firewall.tool}-restore`, ["-w", "--noflush"], input);
  if (status !== 0) throw new SystemError(`cannot change ${firewall.chain}: ${stderr.trim()}`);
}

/** The chain that Weft's links are accepted in. */
export function chainOf(firewall: EngineFirewall): string {
  return firewall.kind === "chain" ? firewall.chain : CHAIN;
}

function rulesOf(listing: string, chain: string): string[] {
  const head = `-A ${chain} `;
  const lines = listing.split("\n").filter((line) => line.startsWith(head));
  return lines.map((line) => line.slice(head.length));
}

/** The legacy tool makes the table it lists: it is asked only where somebody has made one already. */
async function isLegacyUsed(family: FirewallTool): Promise<boolean> {
  const tables = readTables(LEGACY_TABLES[family]);
  return tables.split("\n").includes("filter");
}

async function tryRun(
  run: RunTool,
  tool: string,
  args: readonly string[],
): Promise<ToolResult | undefined> {
  try {
    return await run(tool, args);
  } catch (error) {
    // No such tool: then no Engine on this host uses that backend either.
    if (error instanceof SystemError) return undefined;
    throw error;
  }
}

/** At once: for another thread /proc/net is of the namespace that the main thread is in, which may be a container's for a moment. */
function readTables(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
