/** Ports that a service publishes. */

export const PORT_PROTOCOLS = ["tcp", "udp", "sctp"] as const;
export type PortProtocol = (typeof PORT_PROTOCOLS)[number];
export type PublishMode = "ingress" | "host";

export interface PortConfig {
  readonly name?: string;
  readonly protocol: PortProtocol;
  readonly targetPort: number;
  /** Absent in a spec where the user asked for none; in `endpoint.ports` the allocator has filled it in. */
  readonly publishedPort?: number;
  readonly publishMode: PublishMode;
}

export interface EndpointSpec {
  readonly mode: "vip" | "dnsrr";
  readonly ports: readonly PortConfig[];
}
