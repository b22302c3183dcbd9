/** How large a packet tasks can send: the MTU of the mesh's tunnel, or of the uplink, from which that is derived. */
import { readFile } from "node:fs/promises";
import { ip } from "./ip.ts";

/** What a VXLAN tunnel over IPv4 puts around a packet: Ethernet, IP, UDP and VXLAN headers (RFC 7348 §5). */
const TUNNEL_OVERHEAD = 50;
/** The mesh's tunnel, which the daemon makes. */
const TUNNEL = "weft0";

const MTU_DEFAULT = 1500;

/** Links that lead to containers of this host or are the mesh's own: none leads out of the host by itself. */
export const INNER_LINK =
  /^(lo|docker|br-|virbr|veth|weft|wv|wc|vx|w[bx][0-9a-f]{6}$|wo[0-9a-f]{12}$)/;

/** The kernel's word for it without a run of `ip`, where the tunnel has IPv6: it follows the link's own. */
const TUNNEL_MTU = `/proc/sys/net/ipv6/conf/${TUNNEL}/mtu`;

/** What fits into the mesh's tunnel: as it is, of whichever family its ends are, or as it will be over IPv4. */
export async function tunnelMTU(): Promise<number> {
  const known = Number(await readFile(TUNNEL_MTU, "utf8").catch(() => 0));
  if (known > 0) return known;
  const shown = await ip(["-json", "link", "show"]);
  const [tunnel] = mtusOf(shown, [TUNNEL]);
  if (tunnel !== undefined) return tunnel;
  return smallestMTU(shown, uplinks(await readFile("/proc/net/route", "utf8"))) - TUNNEL_OVERHEAD;
}

/** The links out of /proc/net/route with the default route; without one, all that have a route and lead out. */
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

/** The smallest MTU among these links in the output of `ip -json link show`; Ethernet's when none is there. */
export function smallestMTU(output: string, links: readonly string[]): number {
  const found = mtusOf(output, links);
  return found.length === 0 ? MTU_DEFAULT : Math.min(...found);
}

function mtusOf(output: string, links: readonly string[]): readonly number[] {
  const entries: unknown = JSON.parse(output);
  if (!Array.isArray(entries)) return [];
  return entries.flatMap((entry: { ifname?: unknown; mtu?: unknown }) =>
    typeof entry.ifname === "string" && links.includes(entry.ifname) ? [Number(entry.mtu)] : [],
  );
}
