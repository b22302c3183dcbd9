/**
 * Which lines of `nft monitor` and `ip monitor` tell of something of Weft's, and how soon the kernel must be
 * compared with what it should be. Pure. A line too many costs one audit; a line too few costs the time until
 * the next regular one.
 */
import { BRIDGE_PREFIX, FAST_TABLE, PORT_PREFIX, TUNNEL_PREFIX } from "../base/overlay-links.ts";
import {
  EGRESS_TABLE,
  LINK,
  REPLY_TABLE,
  ROUTE_PROTOCOL,
  TABLE,
  TASK_GATEWAY6,
  TASK_LINK_PREFIX,
} from "./names.ts";
import { OVERLAY_TABLE } from "./overlay/host-rules.ts";

/** `lost`: the rules as a whole are gone, every packet counts. `changed`: something of Weft's is not as it was told. */
export type Urgency = "lost" | "changed";

/** What of the host a mesh hangs on, beside Weft's own things. */
export interface Uplink {
  /** The link that holds the tunnel's address; undefined when none does. */
  readonly link: string | undefined;
  readonly address: string;
  /** Interfaces at whose addresses ports are answered. */
  readonly published: ReadonlySet<string>;
}

const TABLES = [TABLE, EGRESS_TABLE, OVERLAY_TABLE];
const TABLE_IS_GONE: ReadonlySet<string> = new Set(TABLES.map((table) => `delete table ${table}`));
const OWN_TABLES = new RegExp(` (${TABLES.join("|")})( |$)`);
/** No frame is lost for want of the fast way, and the start of a container, which adds to it, costs no audit. */
const FAST_WAY_LACKS = new RegExp(`^delete \\w+ ${FAST_TABLE}( |$)`);
/** What of other programs' Weft has rules in, or must be let through by. */
const OTHERS = / ip6? filter (DOCKER-USER|FORWARD)\b|^(add|delete) table inet firewalld$/;
/** The kernel's buffer was full: nobody knows what was missed. */
const EVENTS_LOST = "# ERROR";

/** What a line of `nft monitor` means; undefined when it is none of Weft's. */
export function urgencyOfRules(line: string): Urgency | undefined {
  const text = line.trim();
  if (TABLE_IS_GONE.has(text)) return "lost";
  if (text.startsWith(EVENTS_LOST)) return "changed";
  if (text.startsWith("#")) return undefined;
  const isOurs = [OWN_TABLES, FAST_WAY_LACKS, OTHERS].some((news) => news.test(text));
  return isOurs ? "changed" : undefined;
}

const OVERLAY_LINKS = `(?:${BRIDGE_PREFIX}|${TUNNEL_PREFIX}|${PORT_PREFIX})[0-9a-f]{6,}`;
const OWN_LINKS = new RegExp(`\\b(${LINK}|${TASK_LINK_PREFIX}[0-9a-z]+|${OVERLAY_LINKS})\\b`);
const OWN_NUMBERS = new RegExp(
  `\\b(proto|protocol) ${ROUTE_PROTOCOL}\\b|\\b(lookup|table) ${REPLY_TABLE}\\b`,
);
/**
 * What tells of a task's link as it should be, or of what nobody compares: its making, being up, its gateway's address,
 * the task as its own next hop, and its neighbours, which traffic makes. A container's start is all of these, and
 * costs no audit.
 */
const TASK_LINK = `${TASK_LINK_PREFIX}[0-9a-z]+`;
const USUAL_OF_TASK_LINKS: readonly RegExp[] = [
  new RegExp(`^\\d+: ${TASK_LINK}@\\S+: <(\\S+,)?UP[,>]`),
  new RegExp(`^\\d+: ${TASK_LINK}@\\S+: .* qdisc noop `),
  new RegExp(`^\\d+: ${TASK_LINK} +inet6? `),
  new RegExp(`^(\\S+) via \\1 dev ${TASK_LINK} proto ${ROUTE_PROTOCOL}\\b`),
  new RegExp(`^[0-9a-f]\\S*:\\S+ dev ${TASK_LINK} proto ${ROUTE_PROTOCOL}\\b`),
  new RegExp(`^inet6? ${TASK_LINK} (forwarding |.*rp_filter loose)`),
  new RegExp(`^(Deleted )?\\S+ dev ${TASK_LINK} (lladdr|router|proxy|[A-Z]+)\\b`),
];
/** The same of a container's link that is a port of a bridge, and of the bridge. */
const PORT = `${PORT_PREFIX}[0-9a-f]{12}`;
const BRIDGE = `${BRIDGE_PREFIX}[0-9a-f]{6}`;
const USUAL_OF_OVERLAYS: readonly RegExp[] = [
  new RegExp(`^\\d+: ${PORT}@\\S+: <(\\S+,)?UP[,>].* master ${BRIDGE} `),
  new RegExp(`^\\d+: (${PORT}@\\S+|${BRIDGE}): .* qdisc noop `),
  new RegExp(`^\\d+: ${BRIDGE}: <(\\S+,)?UP[,>]`),
  new RegExp(`^dev ${PORT} lladdr `),
  // Of a port itself; a container's begins as Docker's do.
  new RegExp(`^(Deleted )?dev (${PORT}|${BRIDGE}) lladdr (?!02:42:)`),
  new RegExp(`^inet (${PORT}|${BRIDGE}) forwarding off `),
];

const USUAL = [...USUAL_OF_TASK_LINKS, ...USUAL_OF_OVERLAYS];

/** The kernel makes these by itself with each link and address; the gateway's address is the only link-local one of Weft's. */
const BY_THE_KERNEL = new RegExp(
  `\\bproto kernel\\b|\\bff0[0-9a-f]::|\\binet6 fe80::(?!${TASK_GATEWAY6.slice("fe80::".length)}/)`,
);
/** Of all links: what the host forwards, and whether it looks for a way back to each source. */
const FOR_ALL_LINKS = /^inet6? all (forwarding|.*rp_filter)/;

/** What a line of `ip -oneline monitor` means; undefined when it is none of Weft's. */
export function urgencyOfNetwork(line: string, uplink: Uplink | undefined): Urgency | undefined {
  if (FOR_ALL_LINKS.test(line)) return "changed";
  if (BY_THE_KERNEL.test(line)) return undefined;
  if (USUAL.some((usual) => usual.test(line))) return undefined;
  if (OWN_LINKS.test(line) || OWN_NUMBERS.test(line)) return "changed";
  return uplink !== undefined && isOfUplink(line, uplink) ? "changed" : undefined;
}

/** "2: eth0: <FLAGS> mtu 1500 …" and "2: eth0    inet 192.168.99.100/24 …", but no neighbour of it. */
function isOfUplink(line: string, uplink: Uplink): boolean {
  const link = /^(?:Deleted )?\d+: ([^:@\s]+)/.exec(line)?.[1];
  if (link === undefined) return false;
  if (uplink.published.has(link)) return true;
  return link === uplink.link || / inet6? (\S+)\//.exec(line)?.[1] === uplink.address;
}
