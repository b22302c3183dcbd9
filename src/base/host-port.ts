/** Addresses with ports as text: an IPv6 address stands in brackets. */
import { isOfIPv6 } from "./ip-address.ts";

/** "192.168.99.100:8080", "[fd00::1]:8080". */
export function withPort(host: string, port: number): string {
  return `${isOfIPv6(host) ? `[${host}]` : host}:${port}`;
}

/** The address in what `withPort` has made. */
export function hostOf(addr: string): string {
  return addr.slice(0, addr.lastIndexOf(":")).replace(/^\[|\]$/g, "");
}
