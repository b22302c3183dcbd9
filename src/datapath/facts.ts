import type { InterfaceAddresses } from "./publish-places.ts";

/** What the desired state needs to know of the host, beside the view. Read from the kernel, never decided. */
export interface HostFacts {
  /** MTU of the device that holds the address of this node's tunnel, in bytes. */
  readonly uplinkMTU: number;
  /** Names of links that exist: those of the view's local tasks, and perhaps others. */
  readonly links: ReadonlySet<string>;
  /** Whether the host's setting for all links has the kernel look for a way back to each packet's source. */
  readonly filtersPaths: boolean;
  /** Whether forwarding is to be turned on. */
  readonly forwarding: boolean;
  /** Whether the mesh's links can have IPv6: the host has it, and the tunnel's MTU is no less than IPv6 needs. */
  readonly ipv6: boolean;
  /** Links that are to take router advertisements though the host forwards, as they did before it did. */
  readonly advertised: readonly string[];
  /** Whether it is Weft that made the host forward IPv6: nothing but the mesh's packets is forwarded then. */
  readonly isOurForwarding6: boolean;
  /** Whether a firewall of the host's looks for a way back to each IPv6 packet's source (firewalld's IPv6_rpfilter). */
  readonly filtersPaths6: boolean;
  /** Of the interfaces that the view's ports are answered at. */
  readonly interfaces: InterfaceAddresses;
  /** Whether the kernel can be told to count what flows carry: it can once it has conntrack. */
  readonly canCount: boolean;
}

export const SYSCTL_FILTER_ALL = "net/ipv4/conf/all/rp_filter";
export const SYSCTL_IP_FORWARD = "net/ipv4/ip_forward";
export const SYSCTL_IP6_FORWARD = "net/ipv6/conf/all/forwarding";
/** Packets and bytes of each flow, for the metrics. */
export const SYSCTL_COUNT_FLOWS = "net/netfilter/nf_conntrack_acct";

export function disableIPv6(link: string): string {
  return `net/ipv6/conf/${link}/disable_ipv6`;
}

export function acceptRA(link: string): string {
  return `net/ipv6/conf/${link}/accept_ra`;
}

/** The link that such a setting is of; undefined for any other one. */
export function linkOfAcceptRA(path: string): string | undefined {
  return /^net\/ipv6\/conf\/([^/]+)\/accept_ra$/.exec(path)?.[1];
}
