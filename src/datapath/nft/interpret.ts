/**
 * Runs a packet through the chains of a ruleset in memory, by the very text that the kernel is given. Knows
 * the statements that Weft writes and no other: a rule it cannot read fails the test that walked into it.
 */
import { assert } from "../../base/assert.ts";
import { addressBytes, isOfIPv6 } from "../../base/ip-address.ts";
import type { BaseChain, Ruleset, Table } from "./ruleset.ts";

export interface Packet {
  iif: string;
  oif: string;
  source: string;
  destination: string;
  protocol: "tcp" | "udp";
  port: number;
  nextHop: string;
  etherSource: string;
  etherDestination: string;
  mark: number;
  zone: number;
  direction: "original" | "reply";
  isDNATed: boolean;
  isSNATed: boolean;
}

export type Verdict = "accept" | "drop" | "reject";

/** What the rules ask of the host around them. */
export interface Surroundings {
  isLocal(address: string): boolean;
  /** The address of the link that the packet leaves by. */
  masqueradeAs(packet: Packet): string;
  /** Which of n, as `numgen` draws it. */
  pick(n: number): number;
}

export type Hook = BaseChain["hook"];

/** Runs all chains of the hook, the lowest priority first. The packet is changed in place. */
export function runHook(
  ruleset: Ruleset,
  hook: Hook,
  packet: Packet,
  around: Surroundings,
): Verdict {
  const chains = [...ruleset.values()].flatMap((table) =>
    [...table.chains].flatMap(([name, { base }]) =>
      base?.hook === hook ? [{ table, name, base }] : [],
    ),
  );
  chains.sort((a, b) => a.base.priority - b.base.priority);
  for (const { table, name } of chains) {
    const verdict = runChain({ table, packet, around }, name);
    if (verdict !== "accept" && verdict !== "continue") return verdict;
  }
  return "accept";
}

interface Walk {
  readonly table: Table;
  readonly packet: Packet;
  readonly around: Surroundings;
}

/** "continue": the next statement; "next": the rule does not match; "return": back to the caller. */
type Step = Verdict | "continue" | "next" | "return";

function runChain(walk: Walk, name: string): Verdict | "continue" {
  const chain = walk.table.chains.get(name);
  assert(chain !== undefined, `no chain ${name}`);
  for (const { text } of chain.rules) {
    const step = runRule(walk, text);
    if (step === "return") return "continue";
    if (step !== "next" && step !== "continue") return step;
  }
  return "continue";
}

function runRule(walk: Walk, text: string): Step {
  let rest = text;
  while (rest !== "") {
    const { step, length } = runStatement(walk, rest);
    if (step !== "continue") return step;
    rest = rest.slice(length).trimStart();
  }
  return "continue";
}

function runStatement(walk: Walk, text: string): { step: Step; length: number } {
  for (const [pattern, run] of STATEMENTS) {
    const found = pattern.exec(text);
    if (found !== null) return { step: run(walk, found.slice(1)), length: found[0].length };
  }
  throw new Error(`cannot read the rule: ${text}`);
}

type Statement = readonly [pattern: RegExp, run: (walk: Walk, words: string[]) => Step];

const matches = (condition: boolean): Step => (condition ? "continue" : "next");

/** Changes the packet and goes on. */
function change(packet: Packet, changes: Partial<Packet>): Step {
  Object.assign(packet, changes);
  return "continue";
}

const STATEMENTS: readonly Statement[] = [
  [
    /^meta nfproto ipv([46])\b/,
    ({ packet }, [version]) => matches(isOfFamily(packet, version === "6" ? "ip6" : "ip")),
  ],
  [
    /^([io])if(?:name)? (!= )?"([^"]+)"/,
    ({ packet }, [which, not, name = ""]) =>
      matches(isNamed(which === "i" ? packet.iif : packet.oif, name) === (not === undefined)),
  ],
  [
    /^ip6? saddr \. rt ip6? nexthop @(\w+)/,
    ({ table, packet }, [set]) => matches(has(table, set, `${packet.source} . ${packet.nextHop}`)),
  ],
  [/^rt ip6 nexthop (\S+)/, ({ packet }, [nextHop]) => matches(packet.nextHop === nextHop)],
  [
    /^ip6? saddr \. ip6? daddr @(\w+)/,
    ({ table, packet }, [set]) =>
      matches(has(table, set, `${packet.source} . ${packet.destination}`)),
  ],
  [
    /^ip6? daddr \. ip6? daddr != @(\w+)/,
    ({ table, packet: { destination } }, [set]) =>
      matches(!has(table, set, `${destination} . ${destination}`)),
  ],
  [
    /^ip6? ([sd])addr (!= )?([\da-f.:/]+)/,
    ({ packet }, [which, not, cidr = ""]) => {
      const address = which === "s" ? packet.source : packet.destination;
      return matches(isWithin(address, cidr) === (not === undefined));
    },
  ],
  [
    /^ip6 daddr != \{ ([\da-f:/, ]+) \}/,
    ({ packet }, [networks = ""]) =>
      matches(!networks.split(", ").some((one) => isWithin(packet.destination, one))),
  ],
  [
    /^fib ([sd])addr type local\b/,
    ({ packet, around }, [which]) =>
      matches(around.isLocal(which === "s" ? packet.source : packet.destination)),
  ],
  [
    /^meta l4proto \. th dport \. ip6? ([sd])addr != @(\w+)/,
    ({ table, packet }, [which, set]) => {
      const address = which === "s" ? packet.source : packet.destination;
      const head = `${portOf(packet)} . `;
      const networks = keysOf(table, set).filter((key) => key.startsWith(head));
      return matches(!networks.some((key) => isWithin(address, key.slice(head.length))));
    },
  ],
  [/^meta l4proto \. th dport vmap @(\w+)/, (walk, [set]) => goToVerdict(walk, set)],
  [
    /^meta l4proto \. th dport (!= )?@(\w+)/,
    ({ table, packet }, [not, set]) =>
      matches(has(table, set, portOf(packet)) === (not === undefined)),
  ],
  [/^meta l4proto (tcp|udp)\b/, ({ packet }, [protocol]) => matches(packet.protocol === protocol)],
  // The tunnel's own packets are not walked, only what they carry.
  [/^udp dport \d+ @th,96,24 \d+\b/, () => "next"],
  [/^icmp(v6)? type (nd-)?redirect\b/, () => "next"],
  [/^tcp flags syn\b/, () => "next"],
  [
    /^ct original zone set ether saddr map @(\w+)/,
    ({ table, packet }, [map]) => {
      const zone = lookUp(table, map, packet.etherSource);
      return zone === undefined ? "next" : change(packet, { zone: Number(zone) });
    },
  ],
  [/^ct original zone != 0\b/, ({ packet }) => matches(packet.zone !== 0)],
  [
    /^ct original zone & (\d+) == (\d+)/,
    ({ packet }, [mask, value]) => matches((packet.zone & Number(mask)) === Number(value)),
  ],
  [/^ct direction (original|reply)\b/, ({ packet }, [way]) => matches(packet.direction === way)],
  // What comes late after a flow was forgotten is not walked.
  [/^ip saddr \. udp sport \. ip daddr \. udp dport @/, () => "next"],
  [/^ct state untracked\b/, () => "next"],
  [/^ct state new\b/, ({ packet }) => matches(packet.direction === "original")],
  [/^ct state established,related\b/, ({ packet }) => matches(packet.direction === "reply")],
  [/^ct state established\b/, ({ packet }) => matches(packet.direction === "reply")],
  // A connection is once it has been answered and gone on.
  [/^ct status assured\b/, () => "next"],
  [/^ct status dnat\b/, ({ packet }) => matches(packet.isDNATed)],
  [/^ct status & dnat == 0\b/, ({ packet }) => matches(!packet.isDNATed)],
  [
    /^meta mark set ct original zone map @(\w+)/,
    ({ table, packet }, [map]) => {
      const mark = lookUp(table, map, `${packet.zone}`);
      return mark === undefined ? "next" : change(packet, { mark: Number(mark) });
    },
  ],
  [
    /^meta mark set meta mark & (0x\w+) \| (0x\w+)/,
    ({ packet }, [mask, bits]) =>
      change(packet, { mark: ((packet.mark & Number(mask)) | Number(bits)) >>> 0 }),
  ],
  [
    /^meta mark set meta mark ([&|]) (0x\w+)/,
    ({ packet }, [operator, bits]) => {
      const value = Number(bits);
      return change(packet, {
        mark: (operator === "&" ? packet.mark & value : packet.mark | value) >>> 0,
      });
    },
  ],
  [
    /^meta mark & (0x\w+) == (\w+)/,
    ({ packet }, [mask, value]) => matches((packet.mark & Number(mask)) >>> 0 === Number(value)),
  ],
  [
    /^ether daddr set meta mark & (0x\w+) map @(\w+)/,
    ({ table, packet }, [mask, map]) => {
      const mac = lookUp(table, map, `${(packet.mark & Number(mask)) >>> 0}`);
      return mac === undefined ? "next" : change(packet, { etherDestination: mac });
    },
  ],
  [/^ct timeout set "\w+"/, () => "continue"],
  // Only a connection's first packet and its answer are walked, and the tasks of a walk answer.
  [/^tcp flags & \(fin \| syn \| rst \| ack\) == \(rst \| ack\)/, () => "next"],
  [/^tcp option maxseg size set rt mtu/, () => "continue"],
  [
    /^dnat ip6? to (?:tcp|udp) dport \. numgen random mod (\d+) map @(\w+)/,
    ({ table, packet, around }, [n, map]) => {
      const target = lookUp(table, map, `${packet.port} . ${around.pick(Number(n))}`);
      if (target === undefined) return "next";
      const [destination = "", port] = target.split(" . ");
      change(packet, { destination, port: Number(port), isDNATed: true });
      return "accept";
    },
  ],
  [/^snat ip6? to ([\da-f.:]+)/, ({ packet }, [source = ""]) => translateSource(packet, source)],
  [/^masquerade\b/, ({ packet, around }) => translateSource(packet, around.masqueradeAs(packet))],
  [/^reject with [\w -]+/, () => "reject"],
  [/^jump (\w+)/, (walk, [chain = ""]) => runChain(walk, chain)],
  [/^goto (\w+)/, (walk, [chain = ""]) => leave(runChain(walk, chain))],
  [/^(accept|drop|return)\b/, (_, [verdict]) => verdict as Step],
];

/** Address translation happens once, for a connection's first packet. */
function translateSource(packet: Packet, source: string): Step {
  if (packet.direction === "original" && !packet.isSNATed) {
    change(packet, { source, isSNATed: true });
  }
  return "accept";
}

function goToVerdict(walk: Walk, map: string | undefined): Step {
  // What belongs to a known connection passes NAT chains by.
  if (walk.packet.direction === "reply") return "next";
  const verdict = lookUp(walk.table, map, portOf(walk.packet));
  const target = /^goto (\w+)$/.exec(verdict ?? "")?.[1];
  return target === undefined ? "next" : leave(runChain(walk, target));
}

/** A chain that was gone to does not come back to the rule after. */
function leave(verdict: Verdict | "continue"): Step {
  return verdict === "continue" ? "return" : verdict;
}

function portOf(packet: Packet): string {
  return `${packet.protocol} . ${packet.port}`;
}

function isNamed(link: string, pattern: string): boolean {
  return pattern.endsWith("*") ? link.startsWith(pattern.slice(0, -1)) : link === pattern;
}

function keysOf(table: Table, set: string | undefined): string[] {
  const found = table.sets.get(set ?? "");
  assert(found !== undefined, `no set ${set}`);
  return [...found.elements.keys()];
}

function has(table: Table, set: string | undefined, key: string): boolean {
  return lookUp(table, set, key) !== undefined;
}

function lookUp(table: Table, set: string | undefined, key: string): string | undefined {
  const found = table.sets.get(set ?? "");
  assert(found !== undefined, `no set ${set}`);
  return found.elements.get(key);
}

/** Whether the address is in the network, or is it. One of the other family is in none. */
export function isWithin(address: string, cidr: string): boolean {
  const [network = "", length] = cidr.split("/");
  if (isOfIPv6(network) !== isOfIPv6(address)) return false;
  const bits = isOfIPv6(network) ? 128 : 32;
  const shift = BigInt(bits - Number(length ?? bits));
  return bitsOf(address) >> shift === bitsOf(network) >> shift;
}

function bitsOf(address: string): bigint {
  const bytes = addressBytes(address);
  assert(bytes !== undefined, `${address} is no address`);
  return BigInt(`0x${bytes.toString("hex")}`);
}

function isOfFamily({ destination }: Packet, family: "ip" | "ip6"): boolean {
  return isOfIPv6(destination) === (family === "ip6");
}
