/**
 * A user's overlay network as a node that has a task on it must know it: the one input of the network's bridge,
 * of its virtual IPs and of its names. Made by the managers from the store, told to members of the network alone.
 */

export interface OverlayNetwork {
  readonly networkID: string;
  readonly name: string;
  /** VXLAN network identifier, 4097 and up. */
  readonly vni: number;
  /** CIDRs, IPv4 first; an IPv6 one beside it where the network has IPv6. May overlap those of other networks. */
  readonly subnets: readonly string[];
  /** Of the tasks' links; the uplink's less the tunnel's overhead when absent. */
  readonly mtu?: number;
  /** No way out of the network for its tasks. */
  readonly internal: boolean;
  readonly services: readonly OverlayService[];
  /** Containers that a user attached, of no service. */
  readonly containers: readonly OverlayEndpoint[];
}

/** A service's part in one network. */
export interface OverlayService {
  readonly serviceID: string;
  readonly serviceName: string;
  /** The service's own names in this network beside its name. */
  readonly aliases: readonly string[];
  /** Without prefix length, IPv4 first; none with the endpoint mode dnsrr. */
  readonly virtualIPs: readonly string[];
  readonly endpoints: readonly OverlayEndpoint[];
}

/** A task or container in one network, and where it is. */
export interface OverlayEndpoint {
  /** The task's id; of an attached container that of the attachment's task. */
  readonly taskID: string;
  /** As `web.1.x7c…`; of an attached container its name. */
  readonly taskName: string;
  /** Names that are this endpoint's alone, as its hostname. */
  readonly aliases: readonly string[];
  /** Without prefix length, IPv4 first. The MAC address is 02:42 and the four bytes of the IPv4 address. */
  readonly addresses: readonly string[];
  /** The index of the node that runs it. */
  readonly nodeIndex: number;
  /**
   * Starting: reached by its own addresses, given to nobody. Live: its service's virtual IP and name lead to it.
   * Draining: keeps the connections it has.
   */
  readonly state: "starting" | "live" | "draining";
}

/** All endpoints of a network: of its services, and the containers that a user attached. */
export function overlayEndpoints({ services, containers }: OverlayNetwork): OverlayEndpoint[] {
  return [...services.flatMap(({ endpoints }) => endpoints), ...containers];
}

/** A local container in an overlay network: its port on the network's bridge, made by the keeper. */
export interface OverlayLink {
  readonly vni: number;
  /** Without prefix length. */
  readonly address: string;
  /** The host's end of the veth pair. */
  readonly link: string;
  /** The file of the container's network namespace, which the Engine makes while it starts the container. */
  readonly sandbox: string;
}

/** An address in one of several networks that may all have it. */
export function placeInOverlay(vni: number, address: string): string {
  return `${vni}/${address}`;
}
