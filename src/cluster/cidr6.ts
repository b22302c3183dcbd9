/** IPv6 networks as numbers, as far as addresses are counted in them. */
import { isIPv4, isIPv6 } from "node:net";
import { InvalidParameterError } from "../base/errors.ts";
import { canonicalIPv6, ipv6Groups, ipv6OfDigits } from "../base/ip-address.ts";

export interface Cidr6 {
  /** The network address as an unsigned 128-bit number. */
  readonly base: bigint;
  readonly prefixLength: number;
}

/** Parses "fd00:1::/64"; host bits are cleared. Throws InvalidParameterError on anything else. */
export function parseCidr6(text: string): Cidr6 {
  const [address = "", length = "", ...rest] = text.split("/");
  const prefixLength = Number(length);
  const isCidr = isIPv6(address) && /^\d{1,3}$/.test(length) && prefixLength <= 128;
  if (!isCidr || address.includes("%") || rest.length > 0) {
    throw new InvalidParameterError(`invalid CIDR address: ${text}`);
  }
  const hostBits = BigInt(128 - prefixLength);
  return { base: (ipv6Number(address) >> hostBits) << hostBits, prefixLength };
}

export function formatCidr6({ base, prefixLength }: Cidr6): string {
  return `${formatIPv6(base)}/${prefixLength}`;
}

export function contains6(outer: Cidr6, inner: Cidr6): boolean {
  const hostBits = BigInt(128 - outer.prefixLength);
  return (
    outer.prefixLength <= inner.prefixLength && inner.base >> hostBits === outer.base >> hostBits
  );
}

export function overlaps6(a: Cidr6, b: Cidr6): boolean {
  return contains6(a, b) || contains6(b, a);
}

/** An address of either family that other hosts can reach, as the kernel writes it; undefined for everything else. */
export function reachableAddress(text: string): string | undefined {
  if (isIPv4(text)) return text;
  if (!isIPv6(text) || text.includes("%") || isLinkLocal(text)) return undefined;
  return canonicalIPv6(text);
}

/** Such an address is one of a link (RFC 4291 §2.5.6), and means nothing on another. */
function isLinkLocal(address: string): boolean {
  return contains6(parseCidr6("fe80::/10"), parseCidr6(`${address}/128`));
}

/** The address so far into a subnet. */
export function ipv6At(cidr: string, offset: number): string {
  return formatIPv6(parseCidr6(cidr).base + BigInt(offset));
}

/** Of an address that is one. */
export function ipv6Number(address: string): bigint {
  return ipv6Groups(address).reduce((number, group) => (number << 16n) | BigInt(group), 0n);
}

/** As RFC 5952 §4 writes it: the longest run of two and more zero groups is left out. */
export function formatIPv6(number: bigint): string {
  return ipv6OfDigits(number.toString(16).padStart(32, "0"));
}
