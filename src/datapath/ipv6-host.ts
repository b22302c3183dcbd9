/** How this host stands to IPv6, from its settings: whether it has it, forwards it, and takes router advertisements. */
import { readdir } from "node:fs/promises";
import { acceptRA, SYSCTL_IP6_FORWARD } from "./facts.ts";
import { LINK, TASK_LINK_PREFIX } from "./names.ts";
import { readSysctl } from "./sysctl.ts";

export interface IPv6Host {
  /** False too where the user has turned it off. */
  readonly isEnabled: boolean;
  readonly isForwarding: boolean;
  /** Links that take router advertisements as long as the host does not forward; looked for only then, and where it is to forward. */
  readonly advertised: readonly string[];
}

const NO_IPV6: IPv6Host = { isEnabled: false, isForwarding: false, advertised: [] };
const CONF = "/proc/sys/net/ipv6/conf";
/** Settings, not links; and links that no router is behind. */
const NO_UPLINK = new RegExp(
  `^(all|default|lo|${LINK}|${TASK_LINK_PREFIX}.*|wc.*|w[box].*|docker.*|br-.*|veth.*)$`,
);
/** accept_ra: unless the host forwards. */
const UNLESS_FORWARDING = "1";

/** Whether a router may be behind the link. */
export function isUplinkName(name: string): boolean {
  return !NO_UPLINK.test(name);
}

/** `isToForward`: whether the mesh will have the host forward IPv6. */
export async function readIPv6Host(isToForward: boolean): Promise<IPv6Host> {
  if (!hostHasIPv6()) return NO_IPV6;
  const isForwarding = readSysctl(SYSCTL_IP6_FORWARD) !== "0";
  const advertised = isToForward && !isForwarding ? await takers() : [];
  return { isEnabled: true, isForwarding, advertised };
}

/** For whoever must know before the datapath has looked; a kernel without IPv6 has no such setting. */
export function hostHasIPv6(): boolean {
  return readSysctl("net/ipv6/conf/all/disable_ipv6") === "0";
}

async function takers(): Promise<string[]> {
  const links = (await readdir(CONF)).filter(isUplinkName);
  const read = links.map((link) => [link, readSysctl(acceptRA(link))] as const);
  return read.filter(([, value]) => value === UNLESS_FORWARDING).map(([link]) => link);
}
