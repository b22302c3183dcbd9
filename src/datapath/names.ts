/** What Weft calls its own things in the kernel. Reset removes exactly what carries these names. */
import { isOfIPv6 } from "../base/ip-address.ts";

/** The nftables table that packets meet. */
export const TABLE = "inet weft";
/** The one that packets meet when they leave by the VXLAN device. */
export const EGRESS_TABLE = "netdev weft";
/** The VXLAN device of the ingress network. */
export const LINK = "weft0";
/** The host's ends of tasks' veth pairs begin so; the keeper makes them. */
export const TASK_LINK_PREFIX = "wv";
/** As `iifname` and `oifname` read it. */
export const TASK_LINKS = `${TASK_LINK_PREFIX}*`;

/** The gateway of every task, an address of the host's end of its link; the keeper puts it there (its GATEWAY_ADDRESS). */
export const TASK_GATEWAY = "169.254.1.1";

/** The gateway of every task over IPv6, on the host's end of its link alike. A link-local one is never a source for other links. */
export const TASK_GATEWAY6 = "fe80::1";

/** Routes and rules of Weft's carry this protocol number (free in /etc/iproute2/rt_protos), and are found again by it. */
export const ROUTE_PROTOCOL = 147;
/** Where addresses of the mesh lead that are no task's: the rules answer for them on the way. */
export const NOWHERE = "lo";
/** The routing table with the one route that sends replies back through the node they came by. */
export const REPLY_TABLE = 9338;
/** Before the main table and other programs' rules; the rule concerns nothing but Weft's own mark on packets of tasks. */
export const REPLY_RULE_PRIORITY = 1000;
/** The next hop of that route: nobody's address, with a permanent neighbour; the egress hook puts the true MAC address. */
export const REPLY_NEXT_HOP = "169.254.147.1";
export const REPLY_NEXT_HOP6 = "fe80::147:1";
/**
 * Where IPv6 addresses of the mesh lead that are no task's. A route to lo is one to nowhere in IPv6: the kernel refuses
 * such a packet before any rule sees it. Nobody's address either; the rules let nothing get so far.
 */
export const NOWHERE6 = "fe80::147:2";
export const REPLY_NEXT_HOP_MAC = "02:42:00:00:00:00";

/** VXLAN over IPv4: outer Ethernet-less IPv4 (20), UDP (8), VXLAN (8) and the inner Ethernet header (14). */
const VXLAN_OVERHEAD = 50;
/** Over IPv6 its header takes 20 bytes more. */
const VXLAN_OVERHEAD6 = 70;

/** What the tunnel puts around a packet, by the underlay that this address is of. */
export function vxlanOverhead(underlayAddress: string): number {
  return isOfIPv6(underlayAddress) ? VXLAN_OVERHEAD6 : VXLAN_OVERHEAD;
}

export const VXLAN_TTL = 64;

/** The MAC address of a member on the VXLAN: 02:42 and the four bytes of its overlay address, as Docker makes them. */
export function overlayMAC(overlayAddress: string): string {
  const bytes = overlayAddress.split(".").map((part) => Number(part).toString(16).padStart(2, "0"));
  return ["02", "42", ...bytes].join(":");
}
