/** Where a member is heard: an IP address and a port, on the wire 4 or 16 bytes and a number. */
import { isIPv4, isIPv6 } from "node:net";

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** One text for one address, for keys and for logs. */
export function addressText({ host, port }: Address): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

export function sameAddress(a: Address, b: Address): boolean {
  return a.port === b.port && a.host === b.host;
}

/** The 4 or 16 bytes of an IP address; undefined when the text is none. */
export function addressBytes(host: string): Buffer | undefined {
  if (isIPv4(host)) return Buffer.from(host.split(".").map(Number));
  if (!isIPv6(host) || host.includes("%")) return undefined;
  const groups = ipv6Groups(host);
  const bytes = Buffer.alloc(16);
  groups.forEach((group, index) => bytes.writeUInt16BE(group, index * 2));
  return bytes;
}

/** The canonical text (RFC 5952 §4) of 4 or 16 bytes; an IPv4-mapped address is its IPv4 address. */
export function addressOfBytes(bytes: Uint8Array): string | undefined {
  if (bytes.length === 4) return bytes.join(".");
  if (bytes.length !== 16) return undefined;
  const buffer = Buffer.from(bytes);
  if (buffer.subarray(0, 12).equals(IPV4_MAPPED)) return buffer.subarray(12).join(".");
  const groups = Array.from({ length: 8 }, (_, index) => buffer.readUInt16BE(index * 2));
  return compressZeros(groups);
}

const IPV4_MAPPED = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);

function ipv6Groups(host: string): number[] {
  const [head = "", tail] = host.split("::");
  const left = groupsOf(head);
  if (tail === undefined) return left;
  const right = groupsOf(tail);
  return [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right];
}

function groupsOf(part: string): number[] {
  if (part === "") return [];
  return part.split(":").flatMap((group) => {
    if (!group.includes(".")) return [Number.parseInt(group, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = group.split(".").map(Number);
    return [a * 256 + b, c * 256 + d];
  });
}

/** The longest run of at least two zero groups, the first of equals, is written "::". */
function compressZeros(groups: readonly number[]): string {
  let best = { start: 0, length: 1 };
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  const hex = groups.map((group) => group.toString(16));
  if (best.length < 2) return hex.join(":");
  const { start, length } = best;
  return `${hex.slice(0, start).join(":")}::${hex.slice(start + length).join(":")}`;
}
