/**
 * The one input of the datapath: what this node's kernel should do, as a value. The agent makes it from
 * what the manager assigned and what the keeper holds; `desired` turns it into rules, links and routes.
 */
import type { OverlayLink, OverlayNetwork } from "./overlay/view.ts";

/** A member of the mesh. Its VXLAN MAC address is derived from its overlay address: 02:42 and the four bytes. */
export interface MeshNode {
  readonly nodeID: string;
  /** 1 to 16383: the conntrack zone, and the mark of replies that go back through it. */
  readonly index: number;
  /** Where it is reached: its address on the underlay. */
  readonly underlayAddress: string;
  /** Where VXLAN packets for it go, when it has an address of its own for them; to the one above when absent. */
  readonly tunnelAddress?: string;
  /** Its own address in the ingress network. */
  readonly overlayAddress: string;
  /** All addresses that it may be a client with, IPv4 and IPv6. */
  readonly addresses: readonly string[];
  /** Networks of its addresses, and interfaces, at which it answers ports whose service does not say; all when absent. */
  readonly publishDefault?: readonly string[];
  /** Of its interfaces, where a port may be answered at one by its name. */
  readonly interfaces?: readonly NamedInterface[];
  /** True while its managers have given it up. It stays a member: it may come back, or be a client. */
  readonly down?: boolean;
}

/** A host's interface with the addresses of it that `MeshNode.addresses` has. */
export interface NamedInterface {
  readonly name: string;
  readonly addresses: readonly string[];
}

/** A task's address in the ingress network, and where it is. */
export interface MeshEndpoint {
  readonly taskID: string;
  readonly address: string;
  /** The index of the node that runs it. */
  readonly nodeIndex: number;
  /** Live endpoints are given new connections; draining ones only keep those they have. Both are routed to. */
  readonly state: "live" | "draining";
  /** Its target ports that are served over IPv6 too, as "tcp/80", sorted; none when absent. IPv6 clients are led to those alone. */
  readonly ipv6Ports?: readonly string[];
}

export type MeshProtocol = "tcp" | "udp";

/** A port of a service, answered on every node that holds it. */
export interface MeshPort {
  readonly protocol: MeshProtocol;
  readonly publishedPort: number;
  readonly targetPort: number;
  /** Networks whose clients are led to it, none within another; all when absent. The host's own processes always are. */
  readonly allowedSources?: readonly string[];
  /** Networks of the hosts' addresses that it is answered at, none within another, and names of interfaces; all when absent. */
  readonly boundTo?: readonly string[];
}

export interface MeshService {
  readonly serviceID: string;
  readonly serviceName: string;
  readonly ports: readonly MeshPort[];
  readonly endpoints: readonly MeshEndpoint[];
  /** Where its live tasks are reached beside the mesh, for names alone: each node's rules know only its own. Absent for none. */
  readonly published?: readonly PublishedTask[];
}

/** A live task's host-mode port, as its node really published it. */
export interface PublishedTask {
  readonly taskID: string;
  readonly protocol: MeshProtocol;
  readonly publishedPort: number;
  readonly targetPort: number;
  readonly nodeIndex: number;
  /** As of a mesh port: where its node answers it. */
  readonly boundTo?: readonly string[];
}

/** A host-mode port: this node's own, led to one local task. */
export interface HostPort extends MeshPort {
  readonly taskID: string;
  readonly address: string;
  /** Whether the task serves it over IPv6 too. */
  readonly ipv6?: boolean;
}

/** The host's end of a local task's veth pair; made by the keeper. */
export interface LocalLink {
  readonly address: string;
  /** Absent when the task's interface has none. */
  readonly address6?: string;
  readonly link: string;
}

export interface MeshView {
  /** The endpoint revision that this view was made from; reported to the manager once applied. */
  readonly revision: number;
  readonly self: MeshNode;
  readonly peers: readonly MeshNode[];
  /** CIDR of the ingress network. */
  readonly subnet: string;
  /** Prefix of the mesh's IPv6 addresses, which are derived from the others by `ipv6Of`; no IPv6 when absent. */
  readonly subnet6?: string;
  /** Of the tunnel, where it is to be less than the uplink allows. */
  readonly mtu?: number;
  readonly vni: number;
  /** UDP port of the VXLAN tunnel. */
  readonly dataPathPort: number;
  readonly services: readonly MeshService[];
  /** Users' overlay networks that this node takes part in. */
  readonly networks: readonly OverlayNetwork[];
  readonly hostPorts: readonly HostPort[];
  readonly localLinks: readonly LocalLink[];
  /** Of local containers in users' overlay networks. */
  readonly overlayLinks: readonly OverlayLink[];
  /** Keys of the published ports that the keeper has really bound. Only these are answered; any other belongs to some process. */
  readonly heldPorts: ReadonlySet<string>;
}

/** The outer address of VXLAN packets to and from a member. */
export function tunnelAddressOf(node: MeshNode): string {
  return node.tunnelAddress ?? node.underlayAddress;
}

/** As "tcp/8080". */
export function portKey(protocol: string, port: number): string {
  return `${protocol}/${port}`;
}
