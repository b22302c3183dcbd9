/** Links, addresses, routes and what else `ip` and `bridge` show, as data: wanted, or read back, in one shape. */
import { isOfIPv6 } from "../../base/ip-address.ts";

export interface VxlanLink {
  readonly vni: number;
  readonly port: number;
  readonly local: string;
  readonly learning: boolean;
  readonly mac: string;
  readonly mtu: number;
  readonly up: boolean;
}

/** The host's end of a task's veth pair. The keeper makes it; what it needs for packets to pass is watched here. */
export interface TaskLink {
  readonly up: boolean;
  /** Whether it has the address that the task's default route leads to. */
  readonly gateway: boolean;
  /** The same of its default route for IPv6; where none is wanted, it may be there all the same. */
  readonly gateway6: boolean;
}

export interface Route {
  /** "main" or a number. */
  readonly table: string;
  /** As `ip` prints it: "10.255.0.9" for a /32, or "default"; the default of IPv6 is "::/0". */
  readonly destination: string;
  readonly device: string;
  /** The next hop; taken to be on the link without asking the table. */
  readonly via?: string;
}

/** A rule for marked packets from one subnet. */
export interface RoutingRule {
  readonly priority: number;
  /** CIDR. */
  readonly from: string;
  readonly mark: number;
  readonly mask: number;
  readonly table: string;
}

/**
 * Keys: link and task link, its name; address, "DEVICE ADDRESS/32" or "/128"; route, "TABLE DESTINATION"; rule, `ruleKey`;
 * neighbour, its address; fdb, its MAC address; sysctl, its path below /proc/sys.
 * Neighbours and forwarding entries are those of Weft's own device.
 */
export interface NetworkState {
  readonly links: ReadonlyMap<string, VxlanLink>;
  readonly taskLinks: ReadonlyMap<string, TaskLink>;
  readonly addresses: ReadonlyMap<string, true>;
  readonly routes: ReadonlyMap<string, Route>;
  readonly rules: ReadonlyMap<string, RoutingRule>;
  readonly neighbours: ReadonlyMap<string, string>;
  readonly fdb: ReadonlyMap<string, string>;
  readonly sysctls: ReadonlyMap<string, string>;
}

export const EMPTY_NETWORK: NetworkState = {
  links: new Map(),
  taskLinks: new Map(),
  addresses: new Map(),
  routes: new Map(),
  rules: new Map(),
  neighbours: new Map(),
  fdb: new Map(),
  sysctls: new Map(),
};

/** IPv4 and IPv6 have rules of the same priority. */
export function ruleKey({ priority, from }: RoutingRule): string {
  return isOfIPv6(from) ? `${priority} ipv6` : `${priority}`;
}

export function routeKey(route: Route): string {
  return `${route.table} ${route.destination}`;
}
