/** The networks that this host has routes to: what overlay subnets must keep clear of. */
import { readFileSync } from "node:fs";

/** A default route, or one of the two halves of all addresses that VPNs set beside it: they lead everywhere and take nothing. */
const DEFAULT_PREFIX_MAX = 1;

/** CIDRs of the main table, the default route left out, Weft's own devices and lo too. */
export function readHostRoutes(): string[] {
  return parseRouteTable(readFileSync("/proc/net/route", "utf8"));
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
      if (prefix <= DEFAULT_PREFIX_MAX || /^(weft|wv|lo$)/.test(device)) return [];
      return [`${bytesOf(destination).join(".")}/${prefix}`];
    });
}

function bytesOf(word: string): number[] {
  return [6, 4, 2, 0].map((start) => Number.parseInt(word.slice(start, start + 2), 16));
}
