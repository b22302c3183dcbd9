/**
 * The one exception to "own tables only": an Engine's FORWARD chain drops what it does not know, and an
 * accept in another table does not save a packet from it. So Weft's links are accepted in DOCKER-USER, the
 * chain that Docker leaves to its users. Through `iptables` and not nft, because the Engine may use either
 * backend and reads its chains with that tool.
 */
import { readFile } from "node:fs/promises";
import { SystemError } from "../base/errors.ts";
import { LINK, TASK_LINK_PREFIX } from "./names.ts";
import type { RunTool, ToolResult } from "./run.ts";

const CHAIN = "DOCKER-USER";
const COMMENT = "weft";
const LEGACY_TABLES = "/proc/net/ip_tables_names";

/** As `iptables -S` prints them, without the chain. */
export const ACCEPT_RULES: readonly string[] = [LINK, `${TASK_LINK_PREFIX}+`].flatMap((link) => [
  `-i ${link} -m comment --comment ${COMMENT} -j ACCEPT`,
  `-o ${link} -m comment --comment ${COMMENT} -j ACCEPT`,
]);

export type EngineFirewall =
  | { readonly kind: "chain"; readonly tool: string; readonly rules: readonly string[] }
  /** No DOCKER-USER, and the host's own policy drops what is forwarded: nothing Weft may change. */
  | { readonly kind: "drops" }
  | { readonly kind: "none" };

/** What stands between the mesh and its packets on this host. */
export async function readEngineFirewall(run: RunTool): Promise<EngineFirewall> {
  let drops = false;
  for (const tool of await backends()) {
    const listed = await tryRun(run, tool, ["-w", "-S", CHAIN]);
    if (listed?.status === 0) return { kind: "chain", tool, rules: rulesOf(listed.stdout) };
    const forward = listed && (await tryRun(run, tool, ["-w", "-S", "FORWARD"]));
    drops ||= forward?.stdout.startsWith("-P FORWARD DROP") === true;
  }
  return { kind: drops ? "drops" : "none" };
}

/** Which of the accepting rules are not there. */
export function missingRules(firewall: EngineFirewall): readonly string[] {
  if (firewall.kind !== "chain") return [];
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
    rules.map((rule) => `-I ${CHAIN} ${rule}`),
  );
}

/** Takes Weft's rules out again, each as often as it is there. */
export async function removeAccepts(run: RunTool, firewall: EngineFirewall): Promise<void> {
  if (firewall.kind !== "chain") return;
  const ours = firewall.rules.filter((rule) => ACCEPT_RULES.includes(rule));
  await restore(
    run,
    firewall,
    ours.map((rule) => `-D ${CHAIN} ${rule}`),
  );
}

async function restore(run: RunTool, firewall: EngineFirewall, lines: readonly string[]) {
  if (firewall.kind !== "chain" || lines.length === 0) return;
  const tool = firewall.tool.replace("iptables", "iptables-restore");
  const input = ["*filter", ...lines, "COMMIT", ""].join("\n");
  const { status, stderr } = await run(restoreTool(tool), ["-w", "--noflush"], input);
  if (status !== 0) throw new SystemError(`cannot change ${CHAIN}: ${stderr.trim()}`);
}

/** iptables-nft's counterpart is iptables-nft-restore, not iptables-restore-nft. */
function restoreTool(name: string): string {
  return name.replace(/^iptables-restore-(nft|legacy)$/, "iptables-$1-restore");
}

function rulesOf(listing: string): string[] {
  const head = `-A ${CHAIN} `;
  const lines = listing.split("\n").filter((line) => line.startsWith(head));
  return lines.map((line) => line.slice(head.length));
}

/** The legacy tool makes the table it lists: it is asked only where somebody has made one already. */
async function backends(): Promise<string[]> {
  const legacy = await readFile(LEGACY_TABLES, "utf8").catch(() => "");
  return legacy.split("\n").includes("filter")
    ? ["iptables-nft", "iptables-legacy"]
    : ["iptables-nft"];
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
