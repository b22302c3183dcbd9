/** The networks that this host has routes to: what overlay subnets must keep clear of. */
import { existsSync, readFileSync } from "node:fs";
import { addressOfBytes } from "../base/ip-address.ts";

/** A default route, or one of the two halves of all addresses that VPNs set beside it: they lead everywhere and take nothing. */
const DEFAULT_PREFIX_MAX = 1;
/** Of IPv6 these are wider: 2000::/3 is all that is public, and fc00::/7 and fd00::/8 are every site's own prefixes. */
const DEFAULT_PREFIX6_MAX = 8;
const TABLE6 = "/proc/net/ipv6_route";

/** CIDRs of the main table and of all of IPv6's, the default route left out, Weft's own devices and lo too. */
export function readHostRoutes(): string[] {
  const ipv4 = parseRouteTable(readFileSync("/proc/net/route", "utf8"));
  // A kernel without IPv6 has no such file.
  return existsSync(TABLE6) ? [...ipv4, ...parseRouteTable6(readFileSync(TABLE6, "utf8"))] : ipv4;
}

/** Lines of /proc/net/route: device, destination and mask as hexadecimal words in the host's (little-endian) order. */
export function parseRouteTable(table: string): string[] {
  return table
    .trimEnd()
    .split("\n")
    .slice(1)
    .flatMap((line) => {
      const [device = "", destination = "", , , , , , mask = ""] = line.split("\t");
      const prefix = bytesOf(mask)
        .map((byte) => byte.toString(2).replaceAll("0", "").length)
        .reduce((sum, bits) => sum + bits, 0);
      if (prefix <= DEFAULT_PREFIX_MAX || OWN_DEVICE.test(device)) return [];
      return [`${bytesOf(destination).join(".")}/${prefix}`];
    });
}

const OWN_DEVICE = /^(weft|wv|lo$)/;
/** Of the host's own addresses, which the networks that they are in stand for. */
const LOCAL = 0x80000000;
/** Each link has its own of these. */
const OF_A_LINK = /^(fe[89ab]|ff)/;

/** Lines of /proc/net/ipv6_route: destination and its length, source, next hop, metric, counters, flags, device, numbers as hexadecimal. */
export function parseRouteTable6(table: string): string[] {
  const routes = table
    .trim()
    .split("\n")
    .flatMap((line) => {
      const [destination = "", length = "", , , , , , , flags = "", device = ""] = line.split(/ +/);
      const prefix = Number.parseInt(length, 16);
      const isLocal = (Number.parseInt(flags, 16) & LOCAL) !== 0;
      if (!(prefix > DEFAULT_PREFIX6_MAX) || isLocal) return [];
      if (OWN_DEVICE.test(device) || OF_A_LINK.test(destination)) return [];
      return [`${addressOfBytes(Buffer.from(destination, "hex"))}/${prefix}`];
    });
  return [...new Set(routes)];
}

function bytesOf(word: string): number[] {
  return [6, 4, 2, 0].map((start) => Number.parseInt(word.slice(start, start + 2), 16));
}
