/**
 * The rules in a container's own network namespace: connections to a virtual IP are led to one live endpoint by the
 * container's own kernel, so there is no hop between and nothing of it on the host. Any protocol, ports untouched.
 */
import { isOfIPv6 } from "../../base/ip-address.ts";
import { endpointsType, IS_REFUSAL, keptLong, oneOf } from "../nft/balance.ts";
import type { Chain, ElementSet, Ruleset, Table } from "../nft/ruleset.ts";
import { baseChain, chain } from "../nft/ruleset.ts";
import { FROM_VIRTUAL_IP, LATE_ANSWERS } from "./sandbox-late-answers.ts";
import type { VirtualIP } from "./virtual-ips.ts";

export const SANDBOX_TABLE = "inet weft_vip";

/** A little before the Engine's own rules for its resolver, which concern 127.0.0.11 alone. */
const PRIORITY_DSTNAT = -110;
const PRIORITY_FILTER = 0;
const PRIORITY_RAW = -300;
/** After conntrack, which then takes the client's next SYN for a new connection. */
const PRIORITY_MANGLE = -150;

type Family = "ip" | "ip6";
const FAMILIES = ["ip", "ip6"] as const;

/** The rules for these virtual IPs; the chains of `found` stay, for a packet may be on its way into one. */
export function sandboxRules(virtualIPs: readonly VirtualIP[], found: Ruleset): Ruleset {
  const sets = LATE_ANSWERS.map(([name, type]): [string, ElementSet] => [
    name,
    made("map", type, []),
  ]);
  const chains: [string, Chain][] = [...BASE_CHAINS];
  for (const family of FAMILIES) {
    const ofFamily = virtualIPs.filter(({ address }) => isOfIPv6(address) === (family === "ip6"));
    sets.push(...setsOf(family, ofFamily));
    for (const count of countsOf(family, ofFamily, found)) {
      const kept = `meta l4proto tcp ct timeout set "${keptOf(family)}"`;
      chains.push([chainOf(family, count), chain([kept, ...oneOf(balanceOf(family), count)])]);
    }
  }
  return new Map([[SANDBOX_TABLE, { sets: new Map(sets), chains: new Map(chains) }]]);
}

/**
 * What is wanted with its new chains alone, if there is a table already: a packet under way while a transaction is
 * committed may see the new verdict and the old rules, and a chain that is new has no old rules.
 */
export function withNewChains(found: Ruleset, wanted: Ruleset): Ruleset {
  const before = found.get(SANDBOX_TABLE);
  const after = wanted.get(SANDBOX_TABLE);
  if (before === undefined || after === undefined) return found;
  const added = [...after.chains].filter(([name]) => !before.chains.has(name) && isOneOf(name));
  const needed = [...after.sets].filter(([name]) => !before.sets.has(name));
  const table: Table = {
    sets: new Map([...before.sets, ...needed.map(([name, set]) => [name, emptied(set)] as const)]),
    chains: new Map([...before.chains, ...added]),
  };
  return new Map([[SANDBOX_TABLE, table]]);
}

function emptied(set: ElementSet): ElementSet {
  return { ...set, elements: new Map() };
}

/** Addresses that the rules lead or led to, from rules read back: as endpoints that may still have connections. */
export function reachedOf(rules: Ruleset): readonly string[] {
  return FAMILIES.flatMap((family) => elementsOf(rules, `reached${suffixOf(family)}`));
}

/** The virtual IPs that the rules know. */
export function knownOf(rules: Ruleset): readonly string[] {
  return FAMILIES.flatMap((family) => elementsOf(rules, `known${suffixOf(family)}`));
}

function elementsOf(rules: Ruleset, name: string): string[] {
  return [...(rules.get(SANDBOX_TABLE)?.sets.get(name)?.elements.keys() ?? [])];
}

const BASE_CHAINS: readonly [string, Chain][] = [
  ["late_prerouting", baseChain("filter", "prerouting", PRIORITY_RAW, FROM_VIRTUAL_IP)],
  ["nat_output", baseChain("nat", "output", PRIORITY_DSTNAT, FAMILIES.map(toOneOf))],
  ["guard_output", baseChain("filter", "output", PRIORITY_FILTER, FAMILIES.flatMap(guard))],
  ["refuse", chain(refuse())],
  ["refused_prerouting", baseChain("filter", "prerouting", PRIORITY_MANGLE, [refused()])],
  ["first_refusal", chain(FAMILIES.flatMap(keepBack))],
];

function toOneOf(family: Family): string {
  return `${family} daddr vmap @virtual_ips${suffixOf(family)}`;
}

/**
 * What is still for a virtual IP was led nowhere: it has no live endpoint. A connection to an endpoint that is gone
 * cannot be saved, and is told so.
 */
function guard(family: Family): string[] {
  const suffix = suffixOf(family);
  return [
    `${family} daddr @known${suffix} jump refuse`,
    `ct direction original ct status dnat ct original ${family} daddr @known${suffix} ${family} daddr != @reached${suffix} jump refuse`,
  ];
}

function refuse(): string[] {
  return [
    "meta l4proto tcp reject with tcp reset",
    "meta l4proto udp reject with icmpx port-unreachable",
    "reject with icmpx host-unreachable",
  ];
}

/** The answer of a virtual IP's endpoint to a SYN where nobody listens. */
function refused(): string {
  return `${IS_REFUSAL} ct direction reply ct status dnat jump first_refusal`;
}

/**
 * A task may be running a moment before it listens, and listen no more a moment before it is gone. So the first
 * refusal is kept back: the client asks again within a second, and its SYN is balanced afresh. The second is believed.
 */
function keepBack(family: Family): string[] {
  const suffix = suffixOf(family);
  const client = `${family} daddr . tcp dport`;
  return [
    `${client} @refusals${suffix} accept`,
    `ct original ${family} daddr @known${suffix} add @refusals${suffix} { ${client} } drop`,
  ];
}

/** Full, it takes no more, and refusals pass at once. */
const REFUSALS = "flags dynamic,timeout; timeout 10s; size 4096";

function setsOf(family: Family, virtualIPs: readonly VirtualIP[]): [string, ElementSet][] {
  const suffix = suffixOf(family);
  const type = `type ${family === "ip" ? "ipv4_addr" : "ipv6_addr"}`;
  const target = `${family} daddr`;
  const verdicts = virtualIPs
    .filter(({ live }) => live.length > 0)
    .map(({ address, live }) => [address, `goto ${chainOf(family, live.length)}`] as const);
  const endpoints = virtualIPs.flatMap(({ address, live }) =>
    live.map((endpoint, index) => [`${address} . ${index}`, endpoint] as const),
  );
  const known = virtualIPs.map(({ address }) => [address, ""] as const);
  const reached = virtualIPs.flatMap(({ live, draining }) =>
    [...live, ...draining].map((address) => [address, ""] as const),
  );
  return [
    [`virtual_ips${suffix}`, made("map", `${type} : verdict`, verdicts)],
    [balanceOf(family).map, made("map", endpointsType(target, target), endpoints)],
    [`known${suffix}`, made("set", type, known)],
    [`reached${suffix}`, made("set", type, reached)],
    [`refusals${suffix}`, made("set", `${type} . inet_service; ${REFUSALS}`, [])],
    [keptOf(family), made("ct timeout", keptLong(family), [])],
  ];
}

function made(
  kind: ElementSet["kind"],
  type: string,
  elements: readonly (readonly [string, string])[],
): ElementSet {
  return { kind, type, elements: new Map(elements) };
}

function balanceOf(family: Family) {
  const key = `${family} daddr`;
  return { family, key, map: `endpoints${suffixOf(family)}` };
}

function chainOf(family: Family, count: number): string {
  return `${family}_one_of_${count}`;
}

const ONE_OF = /^(ip6?)_one_of_(\d+)$/;

function isOneOf(name: string): boolean {
  return ONE_OF.test(name);
}

/** The numbers of endpoints for which there is, or must be, a chain. */
function countsOf(
  family: Family,
  virtualIPs: readonly VirtualIP[],
  found: Ruleset,
): ReadonlySet<number> {
  const counts = new Set(virtualIPs.map(({ live }) => live.length).filter((count) => count > 0));
  for (const name of found.get(SANDBOX_TABLE)?.chains.keys() ?? []) {
    const [, ofFamily, count] = ONE_OF.exec(name) ?? [];
    if (ofFamily === family) counts.add(Number(count));
  }
  return counts;
}

function keptOf(family: Family): string {
  return `kept${suffixOf(family)}`;
}

/** Of the names of what IPv6 has beside IPv4. */
function suffixOf(family: Family): string {
  return family === "ip" ? "" : "6";
}
