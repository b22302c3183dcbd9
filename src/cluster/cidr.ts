/** IPv4 networks as numbers, for whoever hands out addresses and subnets. */
import { isIPv4 } from "node:net";
import { InvalidParameterError } from "../base/errors.ts";

export interface Cidr {
  /** The network address as an unsigned 32-bit number. */
  readonly base: number;
  readonly prefixLength: number;
}

/** Parses "10.255.0.0/16"; host bits are cleared. Throws InvalidParameterError on anything else. */
export function parseCidr(text: string): Cidr {
  const [address = "", length = "", ...rest] = text.split("/");
  const prefixLength = Number(length);
  if (!isIPv4(address) || !/^\d{1,2}$/.test(length) || prefixLength > 32 || rest.length > 0) {
    throw new InvalidParameterError(`invalid CIDR address: ${text}`);
  }
  return { base: networkOf(addressNumber(address), prefixLength), prefixLength };
}

export function formatCidr({ base, prefixLength }: Cidr): string {
  return `${formatAddress(base)}/${prefixLength}`;
}

/** How many addresses it spans, network and broadcast addresses included. */
export function sizeOf({ prefixLength }: Cidr): number {
  return 2 ** (32 - prefixLength);
}

export function contains(outer: Cidr, inner: Cidr): boolean {
  return (
    outer.prefixLength <= inner.prefixLength &&
    networkOf(inner.base, outer.prefixLength) === outer.base
  );
}

export function overlaps(a: Cidr, b: Cidr): boolean {
  return contains(a, b) || contains(b, a);
}

/** An IPv4 address as a number; a prefix length behind it is ignored. */
export function addressNumber(address: string): number {
  const [bare = ""] = address.split("/");
  return bare.split(".").reduce((number, octet) => number * 256 + Number(octet), 0);
}

export function formatAddress(number: number): string {
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 255).join(".");
}

function networkOf(address: number, prefixLength: number): number {
  return address - (address % 2 ** (32 - prefixLength));
}
