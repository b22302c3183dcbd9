/**
 * What Weft calls the links of users' overlay networks, and how their bridges are made: shared by the keeper, which
 * makes a bridge when its first container comes, and the datapath, which sees to it that it stays as it must be.
 */

/** The bridge of a network. Linux allows 15 characters, a VNI is 24 bits. */
export function bridgeName(vni: number): string {
  return `${BRIDGE_PREFIX}${hexOf(vni)}`;
}

/** The VXLAN device of a network, a port of its bridge. */
export function tunnelName(vni: number): string {
  return `${TUNNEL_PREFIX}${hexOf(vni)}`;
}

export const BRIDGE_PREFIX = "wb";
export const TUNNEL_PREFIX = "wx";
/** The host's ends of the veth pairs that are ports of such a bridge begin so. */
export const PORT_PREFIX = "wo";

const NETWORK_LINK = new RegExp(`^(?:${BRIDGE_PREFIX}|${TUNNEL_PREFIX})([0-9a-f]{6})$`);

/** The network of a bridge or tunnel with this name; undefined for any other link. */
export function vniOfLink(name: string): number | undefined {
  const digits = NETWORK_LINK.exec(name)?.[1];
  return digits === undefined ? undefined : Number.parseInt(digits, 16);
}

/** As Docker makes them: 02:42 and the four bytes of the IPv4 address. */
export function macOf(address: string): string {
  const bytes = address.split(".").map((part) => Number(part).toString(16).padStart(2, "0"));
  return ["02", "42", ...bytes].join(":");
}

/** For `ip`: no address of any family comes to be on it, and multicast is not held back for want of a querier. */
export function bridgeCommands(name: string): readonly string[] {
  return [
    `link add ${name} type bridge mcast_snooping 0`,
    `link set ${name} addrgenmode none`,
    `link set ${name} up`,
  ];
}

/** Below /proc/sys, in order: the host neither routes from it nor answers on it, not even for its own addresses. */
export function bridgeSettings(name: string): readonly (readonly [path: string, value: string])[] {
  return [
    [`net/ipv4/conf/${name}/forwarding`, "0"],
    [`net/ipv4/conf/${name}/arp_ignore`, "8"],
    [`net/ipv6/conf/${name}/disable_ipv6`, "1"],
  ];
}

/** For `ip`: makes the link a port of the bridge. */
export function portCommands(port: string, bridge: string): readonly string[] {
  return [
    `link set ${port} addrgenmode none`,
    // A port does not learn: who is where is known, so nobody takes another's frames by a forged address.
    `link set ${port} master ${bridge}`,
    `link set ${port} type bridge_slave learning off`,
    `link set ${port} up`,
  ];
}

/** For `bridge`: what is sent to this address of the network goes out by this port. */
export function portEntryCommand(port: string, mac: string): string {
  return `fdb replace ${mac} dev ${port} master static`;
}

/** Where the fast ways of all networks are: the datapath makes it, the keeper takes from it what its links make untrue. */
export const FAST_TABLE = "netdev weft_overlay";

/** The map in there that says where the addresses of a bridge's network are. */
export function fastMapName(bridge: string): string {
  return `at_${bridge}`;
}

/** For `nft`: frames for this address take the bridge's way until the datapath knows its link. */
export function forgetWayCommand(bridge: string, mac: string): string {
  return `delete element ${FAST_TABLE} ${fastMapName(bridge)} { ${mac} }`;
}

function hexOf(vni: number): string {
  return vni.toString(16).padStart(6, "0");
}
