/** IP addresses between their texts and their bytes. */
import { isIPv4, isIPv6 } from "node:net";

/** Whether an address or a network, which is taken to be one, is of IPv6. */
export function isOfIPv6(text: string): boolean {
  return text.includes(":");
}

/** What is of IPv4 and what is of IPv6, each in its order; `addressOf` says what an item's address or network is. */
export function byFamily<Item>(
  items: readonly Item[],
  addressOf: (item: Item) => string = String,
): { readonly ipv4: readonly Item[]; readonly ipv6: readonly Item[] } {
  const isIPv6 = (item: Item) => isOfIPv6(addressOf(item));
  return { ipv4: items.filter((item) => !isIPv6(item)), ipv6: items.filter(isIPv6) };
}

/** The 4 or 16 bytes of an IP address; undefined when the text is none. */
export function addressBytes(text: string): Buffer | undefined {
  if (isIPv4(text)) return Buffer.from(text.split(".").map(Number));
  if (!isIPv6(text) || text.includes("%")) return undefined;
  return Buffer.from(ipv6Groups(text).flatMap((group) => [group >> 8, group & 0xff]));
}

/** The canonical text of 4 or 16 bytes; an IPv4-mapped address is its IPv4 address. */
export function addressOfBytes(bytes: Uint8Array): string | undefined {
  if (bytes.length === 4) return bytes.join(".");
  if (bytes.length !== 16) return undefined;
  const buffer = Buffer.from(bytes);
  if (buffer.subarray(0, 12).equals(IPV4_MAPPED)) return buffer.subarray(12).join(".");
  return ipv6OfDigits(buffer.toString("hex"));
}

const IPV4_MAPPED = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
const GROUPS = 8;

/** The eight groups of an IPv6 address, which is taken to be one. */
export function ipv6Groups(address: string): number[] {
  const [head = "", tail] = address.split("::");
  const left = groupsOf(head);
  if (tail === undefined) return left;
  const right = groupsOf(tail);
  return [...left, ...new Array<number>(GROUPS - left.length - right.length).fill(0), ...right];
}

function groupsOf(part: string): number[] {
  if (part === "") return [];
  return part.split(":").flatMap((group) => {
    if (!group.includes(".")) return [Number.parseInt(group, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = group.split(".").map(Number);
    return [a * 256 + b, c * 256 + d];
  });
}

/** Of eight groups, as `canonicalIPv6` writes it. */
export function formatIPv6Groups(groups: readonly number[]): string {
  return canonicalIPv6(groups.map((group) => group.toString(16)).join(":"));
}

/** Of the thirty-two digits that /proc and reverse names have, as `canonicalIPv6` writes it. */
export function ipv6OfDigits(digits: string): string {
  return canonicalIPv6(digits.replace(/.{4}(?!$)/g, "$&:"));
}

/** An IPv6 address, which is taken to be one without a link, as the kernel writes it: of its spellings the one of RFC 5952 §4. */
export function canonicalIPv6(address: string): string {
  return new URL(`http://[${address}]`).hostname.slice(1, -1);
}
