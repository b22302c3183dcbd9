/**
 * Leading a new connection to one of several endpoints, as rules: published ports and virtual IPs are balanced by
 * the same ones. `map` holds the endpoints by what the packet is led by and their number among so many.
 */

export interface Balance {
  readonly family: "ip" | "ip6";
  /** What the packet is led by, as `tcp dport` or `ip daddr`. */
  readonly key: string;
  readonly map: string;
  /** A statement for the connection's first packet, with the space after it. */
  readonly first?: string;
}

/**
 * The rules of the chain for so many endpoints. The last one is for a packet that meets a service just losing its
 * last endpoint but one: the first is always there.
 */
export function oneOf({ family, key, map, first = "" }: Balance, count: number): string[] {
  return [...new Set([count, 1])].map(
    (n) => `${first}dnat ${family} to ${key} . numgen random mod ${n} map @${map}`,
  );
}

/** The type of that map: `target` is what a packet is led to, as `ip daddr . tcp dport`. */
export function endpointsType(key: string, target: string): string {
  return `typeof ${key} . numgen random mod 2 : ${target}`;
}

/**
 * A `ct timeout` for balanced connections. A half-closed one is one that still delivers: an hour instead of the
 * kernel's minute. Idle ones have the kernel's own default of five days, whatever the host's setting is.
 */
export function keptLong(family: "ip" | "ip6"): string {
  return `protocol tcp; l3proto ${family}; policy = { established : 432000, close_wait : 3600 }`;
}

/** The answer to a SYN where nobody listens has sequence number 0 (RFC 9293 §3.10.7.1). */
export const IS_REFUSAL = "tcp flags & (fin | syn | rst | ack) == (rst | ack) tcp sequence 0";
