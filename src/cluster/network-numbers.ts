/**
 * What makes an overlay network one of its own: its VXLAN number and its subnets, as a user asked for them or from the
 * cluster's pools. Pure; the transaction that puts the network is the one in which they were free.
 */

import { InvalidParameterError, messageOf } from "../base/errors.ts";
import { byFamily, isOfIPv6 } from "../base/ip-address.ts";
import {
  addressNumber,
  type Cidr,
  contains,
  formatAddress,
  formatCidr,
  overlaps,
  parseCidr,
  sizeOf,
} from "./cidr.ts";
import { contains6, formatCidr6, ipv6At, overlaps6, parseCidr6 } from "./cidr6.ts";
import { INGRESS_VNI } from "./initial-objects.ts";
import type { IPAMConfig, Network } from "./objects.ts";
import type { Snapshot } from "./store.ts";

/** VXLAN has 24 bits for it. */
const VNI_MAX = 16_777_215;
/** Two addresses beside the network's own, its gateway's and its broadcast address: a virtual IP and a task. */
const PREFIX_LENGTH_MAX = 29;
/** Of the subnet that a network with --ipv6 gets where its maker names none: `fd77:6566:7400:<number>::/64`. */
const IPV6_POOL = "fd77:6566:7400::/48";

/** What the user said of a network's addresses; every field may be empty. */
export interface SubnetsRequest {
  readonly config: readonly {
    readonly subnet?: string;
    readonly ipRange?: string;
    readonly gateway?: string;
  }[];
  readonly ipv6Enabled: boolean;
  /** CIDRs that this host has routes to; subnets from the pools keep clear of them. */
  readonly hostRoutes: readonly string[];
}

/**
 * One above the highest in use, 4097 and up. `last` is the last one that was given: of a network that is gone, containers
 * may still be ending on some node, and must not find themselves in another one.
 */
export function freeVNI(snapshot: Snapshot, last: number = INGRESS_VNI): number {
  const used = new Set(snapshot.list("network").map(({ vni }) => vni));
  const highest = Math.max(INGRESS_VNI, last, ...used);
  if (highest < VNI_MAX) return highest + 1;
  for (let vni = INGRESS_VNI + 1; vni <= VNI_MAX; vni++) if (!used.has(vni)) return vni;
  throw new InvalidParameterError("all VXLAN network identifiers are in use");
}

/** A number that the user asked for by name. */
export function claimVNI(snapshot: Snapshot, text: string): number {
  const vni = Number(text);
  if (!/^\d+$/.test(text) || vni <= INGRESS_VNI || vni > VNI_MAX) {
    throw new InvalidParameterError(
      `invalid vxlan id "${text}": must be one number from ${INGRESS_VNI + 1} to ${VNI_MAX}`,
    );
  }
  const holder = snapshot.list("network").find((network) => network.vni === vni);
  if (holder === undefined) return vni;
  throw new InvalidParameterError(`vxlan id ${vni} is in use by network ${holder.spec.name}`);
}

/** The network's subnets, IPv4 first. What a user names may overlap other networks, what the pools give does not. */
export function subnetsOf(snapshot: Snapshot, request: SubnetsRequest): readonly IPAMConfig[] {
  const named = request.config.filter(({ subnet }) => subnet !== undefined && subnet !== "");
  const families = byFamily(named, ({ subnet = "" }) => subnet);
  const ipv6 = families.ipv6.map(namedIPv6);
  const ipv4 = families.ipv4.map(namedIPv4);
  checkDisjoint(ipv4, ipv6);
  const own = ipv4.length > 0 ? ipv4 : [poolSubnet(snapshot, request.hostRoutes)];
  if (!request.ipv6Enabled) return own;
  const beside = ipv6.length > 0 ? ipv6 : [poolSubnet6(snapshot, request.hostRoutes)];
  checkRoom(own, beside);
  return [...own, ...beside];
}

function namedIPv4(config: SubnetsRequest["config"][number]): IPAMConfig {
  const subnet = parseNamed(config.subnet ?? "");
  if (subnet.prefixLength > PREFIX_LENGTH_MAX) {
    throw new InvalidParameterError(
      `subnet ${formatCidr(subnet)} is too small: /${PREFIX_LENGTH_MAX} is the smallest that has room for a service`,
    );
  }
  const ipRange = config.ipRange || undefined;
  const gateway = config.gateway || undefined;
  if (ipRange !== undefined && !contains(subnet, parseCidr(ipRange))) {
    throw new InvalidParameterError(`no matching subnet for range ${ipRange}`);
  }
  const isInside = (address: string) => contains(subnet, parseCidr(`${address}/32`));
  if (gateway !== undefined && !isInside(gateway)) {
    throw new InvalidParameterError(`no matching subnet for gateway ${gateway}`);
  }
  return {
    subnet: formatCidr(subnet),
    ...(ipRange === undefined ? {} : { ipRange: formatCidr(parseCidr(ipRange)) }),
    gateway: gateway ?? formatAddress(subnet.base + 1),
  };
}

function parseNamed(text: string): Cidr {
  try {
    return parseCidr(text);
  } catch (error) {
    throw new InvalidParameterError(`Invalid subnet ${text} : ${messageOf(error)}`, {
      cause: error,
    });
  }
}

function namedIPv6({ subnet = "", gateway }: SubnetsRequest["config"][number]): IPAMConfig {
  const cidr = parseCidr6(subnet);
  const text = formatCidr6(cidr);
  if (gateway && !contains6(cidr, parseCidr6(`${gateway}/128`))) {
    throw new InvalidParameterError(`no matching subnet for gateway ${gateway}`);
  }
  return { subnet: text, gateway: gateway || ipv6At(text, 1) };
}

function checkDisjoint(ipv4: readonly IPAMConfig[], ipv6: readonly IPAMConfig[]): void {
  const clash =
    firstPair(ipv4, (a, b) => overlaps(parseCidr(a), parseCidr(b))) ??
    firstPair(ipv6, (a, b) => overlaps6(parseCidr6(a), parseCidr6(b)));
  if (clash === undefined) return;
  throw new InvalidParameterError(`multiple overlapping subnet configuration is not supported`);
}

/** An address's place in its IPv4 subnet is its place in the IPv6 one. */
function checkRoom(ipv4: readonly IPAMConfig[], ipv6: readonly IPAMConfig[]): void {
  if (ipv4.length > 1) {
    throw new InvalidParameterError("a network with IPv6 has one IPv4 subnet beside it");
  }
  const subnet = ipv4[0]?.subnet ?? "0.0.0.0/0";
  const small = ipv6.find(
    (each) =>
      2n ** BigInt(128 - parseCidr6(each.subnet).prefixLength) < BigInt(sizeOf(parseCidr(subnet))),
  );
  if (small === undefined) return;
  throw new InvalidParameterError(
    `subnet ${small.subnet} has fewer addresses than ${subnet}, and each task needs one in both`,
  );
}

function firstPair(
  configs: readonly IPAMConfig[],
  clashes: (a: string, b: string) => boolean,
): readonly [IPAMConfig, IPAMConfig] | undefined {
  for (const [at, a] of configs.entries()) {
    for (const b of configs.slice(at + 1)) if (clashes(a.subnet, b.subnet)) return [a, b];
  }
  return undefined;
}

/** The next one of the cluster's pools that is clear of every network and of the host's routes; a pool's first comes last, as hosts and resolvers like it too. */
function poolSubnet(snapshot: Snapshot, hostRoutes: readonly string[]): IPAMConfig {
  const [cluster] = snapshot.list("cluster");
  const taken = byFamily([...subnetsInUse(snapshot), ...hostRoutes]).ipv4.map(parseCidr);
  for (const pool of (cluster?.defaultAddrPool ?? []).map(parseCidr)) {
    const free = freeSubnet(pool, cluster?.subnetSize ?? pool.prefixLength, taken);
    if (free !== undefined) {
      return { subnet: formatCidr(free), gateway: formatAddress(free.base + 1) };
    }
  }
  const pools = cluster?.defaultAddrPool.join(", ");
  throw new InvalidParameterError(
    `could not find an available, non-overlapping IPv4 address pool among the defaults (${pools}) to assign to the network: remove networks, or name one with --subnet`,
  );
}

/** Steps over whatever it meets, so that a wide route costs one look and not one per subnet. */
function freeSubnet(pool: Cidr, subnetSize: number, taken: readonly Cidr[]): Cidr | undefined {
  const prefixLength = Math.max(subnetSize, pool.prefixLength);
  const step = 2 ** (32 - prefixLength);
  const end = pool.base + sizeOf(pool);
  const search = (from: number, until: number): Cidr | undefined => {
    let base = from;
    while (base < until) {
      const candidate = { base, prefixLength };
      const hit = taken.find((each) => overlaps(each, candidate));
      if (hit === undefined) return candidate;
      base = Math.max(base + step, Math.ceil((hit.base + sizeOf(hit)) / step) * step);
    }
    return undefined;
  };
  return search(pool.base + step, end) ?? search(pool.base, pool.base + step);
}

/** Of either family. */
function subnetsInUse(snapshot: Snapshot): readonly string[] {
  return snapshot.list("network").flatMap(({ ipam }) => ipam.config.map(({ subnet }) => subnet));
}

function poolSubnet6(snapshot: Snapshot, hostRoutes: readonly string[]): IPAMConfig {
  const taken = byFamily([...subnetsInUse(snapshot), ...hostRoutes]).ipv6.map(parseCidr6);
  const pool = parseCidr6(IPV6_POOL);
  for (let number = 1n; number < 65_536n; number++) {
    const candidate = { base: pool.base + (number << 64n), prefixLength: 64 };
    if (taken.some((each) => overlaps6(each, candidate))) continue;
    const subnet = formatCidr6(candidate);
    return { subnet, gateway: ipv6At(subnet, 1) };
  }
  throw new InvalidParameterError(
    `could not find an available, non-overlapping IPv6 address pool among the defaults (${IPV6_POOL}) to assign to the network: remove networks, or name one with --subnet`,
  );
}

/** Whether an address is one of the network's. */
export function isInNetwork(network: Network, address: string): boolean {
  return network.ipam.config.some(({ subnet }) =>
    isOfIPv6(subnet)
      ? isOfIPv6(address) && contains6(parseCidr6(subnet), parseCidr6(`${address}/128`))
      : !isOfIPv6(address) &&
        contains(parseCidr(subnet), { base: addressNumber(address), prefixLength: 32 }),
  );
}
