/**
 * IPv6 addresses of the mesh are no allocation of their own: each stands as far in the one subnet as the IPv4 address
 * does in the other, so whoever knows one knows the other. Pure.
 */

/** The least MTU with which Linux lets a link have IPv6 (RFC 8200 §5). */
export const IPV6_MTU_MIN = 1280;

const GROUPS = 8;

/** The IPv6 address that goes with an IPv4 one, spelled as the kernel spells it: "fd12:3456:789a::9". */
export function ipv6Of(subnet6: string, subnet: string, address: string): string {
  const offset = numberOf(address) - numberOf(subnet.split("/")[0] ?? "");
  const prefix = groupsOf(subnet6.split("/")[0] ?? "").slice(0, GROUPS - 2);
  return formatIPv6([...prefix, offset >>> 16, offset & 0xffff]);
}

function numberOf(address: string): number {
  const [a = 0, b = 0, c = 0, d = 0] = address.split(".").map(Number);
  return ((a * 256 + b) * 256 + c) * 256 + d;
}

/** As RFC 5952 has it: the first of the longest runs of zeros, if it is longer than one group, is "::". */
export function formatIPv6(groups: readonly number[]): string {
  const { start, length } = longestZeros(groups);
  const text = (part: readonly number[]) => part.map((group) => group.toString(16)).join(":");
  if (length < 2) return text(groups);
  return `${text(groups.slice(0, start))}::${text(groups.slice(start + length))}`;
}

/** The eight groups of an IPv6 address, which is taken to be one. */
export function groupsOf(address: string): number[] {
  const [head = "", tail] = address.split("::");
  const parse = (part: string) =>
    part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16));
  const before = parse(head);
  const after = parse(tail ?? "");
  return [...before, ...Array(GROUPS - before.length - after.length).fill(0), ...after];
}

function longestZeros(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
    start += length;
  }
  return best;
}
