/** How large a packet the host can send: the MTU of its uplink, from which the tasks' is derived. */
import { readFile } from "node:fs/promises";
import { ip } from "./ip.ts";

/** What a VXLAN tunnel over IPv4 puts around a packet: Ethernet, IP, UDP and VXLAN headers (RFC 7348 §5). */
export const TUNNEL_OVERHEAD = 50;

const MTU_DEFAULT = 1500;

/** Links that lead to containers of this host or are the mesh's own: none leads out of the host by itself. */
export const INNER_LINK =
  /^(lo|docker|br-|virbr|veth|weft|wv|wc|vx|w[bx][0-9a-f]{6}$|wo[0-9a-f]{12}$)/;

/** The MTU of the link with the default route; without one, the smallest of the links that have a route and lead out. */
export async function uplinkMTU(): Promise<number> {
  const links = uplinks(await readFile("/proc/net/route", "utf8"));
  if (links.length === 0) return MTU_DEFAULT;
  return smallestMTU(await ip(["-json", "link", "show"]), links);
}

/** The links out of /proc/net/route: those with a default route, else all that lead out. */
export function uplinks(routes: string): readonly string[] {
  const rows = routes
    .split("\n")
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((row) => row.length >= 8);
  const names = (found: readonly string[][]) => [...new Set(found.map((row) => row[0] ?? ""))];
  const byDefault = rows.filter((row) => row[1] === "00000000" && row[7] === "00000000");
  if (byDefault.length > 0) return names(byDefault);
  return names(rows).filter((name) => !INNER_LINK.test(name));
}

/** The smallest MTU among these links in the output of `ip -json link show`. */
export function smallestMTU(output: string, links: readonly string[]): number {
  const entries: unknown = JSON.parse(output);
  if (!Array.isArray(entries)) return MTU_DEFAULT;
  const found = entries.flatMap((entry: { ifname?: unknown; mtu?: unknown }) =>
    typeof entry.ifname === "string" && links.includes(entry.ifname) ? [Number(entry.mtu)] : [],
  );
  return found.length === 0 ? MTU_DEFAULT : Math.min(...found);
}
