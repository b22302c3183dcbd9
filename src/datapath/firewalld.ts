/**
 * firewalld rejects what is forwarded between links of no zone, in a table after Weft's, where an accept of
 * ours does not help. So Weft's links go into its zone `trusted`: in the running configuration, and in the
 * permanent one, so that a reload leaves no gap.
 */
import { readFile } from "node:fs/promises";
import { SystemError } from "../base/errors.ts";
import { BRIDGE_PREFIX } from "../base/overlay-links.ts";
import { LINK, TASK_LINK_PREFIX } from "./names.ts";
import type { Nft } from "./nft/nft.ts";
import type { RunTool } from "./run.ts";

/** firewalld's words for Weft's links, beside nftables'. */
const LINKS: readonly { readonly name: string; readonly match: string }[] = [
  { name: LINK, match: LINK },
  { name: `${TASK_LINK_PREFIX}+`, match: `${TASK_LINK_PREFIX}*` },
  { name: `${BRIDGE_PREFIX}+`, match: `${BRIDGE_PREFIX}*` },
];
const ZONE = "trusted";
/** Where it sorts forwarded packets by the link they came by; the second name is that of versions before 1.3. */
const FORWARD_CHAINS = ["filter_FORWARD_ZONES", "filter_FORWARD_IN_ZONES"];
const CHANGED_ZONE = "/etc/firewalld/zones/trusted.xml";
const DEFAULT_ZONE = "/usr/lib/firewalld/zones/trusted.xml";

/** Weft's links that firewalld sorts into no zone; undefined where it does not run. */
export type Firewalld = { readonly untrusted: readonly string[] } | undefined;

/** In whichever zone the user has put them: only links of no zone are Weft's to place. */
export async function readFirewalld(nft: Nft): Promise<Firewalld> {
  for (const chain of FORWARD_CHAINS) {
    const listing = await nft.list(`chain inet firewalld ${chain}`);
    if (listing === undefined) continue;
    const text = JSON.stringify(listing);
    const untrusted = LINKS.filter(({ match }) => !text.includes(`"right":"${match}"`));
    return { untrusted: untrusted.map(({ name }) => name) };
  }
  return undefined;
}

/**
 * Puts the links into the zone; firewalld says yes to what is there already. The running configuration last: only that is looked
 * at, so whatever fails on the way is tried again.
 */
export async function trustLinks(run: RunTool, links: readonly string[]): Promise<void> {
  if (links.length === 0) return;
  const words = links.map((link) => `--add-interface=${link}`);
  await firewallCmd(run, ["--permanent", `--zone=${ZONE}`, ...words]);
  await firewallCmd(run, [`--zone=${ZONE}`, ...words]);
}

/** Takes the links out of the zone, and the zone's file away when it says nothing that the default does not. */
export async function distrustLinks(run: RunTool): Promise<void> {
  for (const scope of [[], ["--permanent"]]) {
    for (const { name } of LINKS) {
      const isThere = await run("firewall-cmd", [
        ...scope,
        `--zone=${ZONE}`,
        `--query-interface=${name}`,
      ]);
      if (isThere.status !== 0) continue;
      await firewallCmd(run, [...scope, `--zone=${ZONE}`, `--remove-interface=${name}`]);
    }
  }
  if (await isDefault()) await firewallCmd(run, ["--permanent", `--load-zone-defaults=${ZONE}`]);
}

async function isDefault(): Promise<boolean> {
  const [changed, original] = await Promise.all(
    [CHANGED_ZONE, DEFAULT_ZONE].map((path) => readFile(path, "utf8").catch(() => undefined)),
  );
  return changed !== undefined && original !== undefined && sameXML(changed, original);
}

function sameXML(a: string, b: string): boolean {
  const [one, other] = [a, b].map((text) => text.replace(/>\s+</g, "><").trim());
  return one === other;
}

async function firewallCmd(run: RunTool, args: readonly string[]): Promise<void> {
  const { status, stdout, stderr } = await run("firewall-cmd", args);
  if (status === 0) return;
  const said = `${stdout}${stderr}`.trim();
  throw new SystemError(`firewall-cmd ${args.join(" ")} failed: ${said}`);
}
