/** What the desired state needs to know of the host, beside the view. Read from the kernel, never decided. */
export interface HostFacts {
  /** MTU of the device that holds this node's underlay address, in bytes. */
  readonly uplinkMTU: number;
  /** Names of the links that exist. */
  readonly links: ReadonlySet<string>;
  /** Whether IPv4 forwarding is to be turned on. */
  readonly forwarding: boolean;
}

export const SYSCTL_IP_FORWARD = "net/ipv4/ip_forward";
