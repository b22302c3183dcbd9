/**
 * IPv6 addresses of the mesh are no allocation of their own: each stands as far in the one subnet as the IPv4 address
 * does in the other, so whoever knows one knows the other. Pure.
 */
import { formatIPv6Groups, ipv6Groups } from "../base/ip-address.ts";

/** The least MTU with which Linux lets a link have IPv6 (RFC 8200 §5). */
export const IPV6_MTU_MIN = 1280;

/** The IPv6 address that goes with an IPv4 one, spelled as the kernel spells it: "fd12:3456:789a::9". */
export function ipv6Of(subnet6: string, subnet: string, address: string): string {
  const offset = numberOf(address) - numberOf(subnet.split("/")[0] ?? "");
  const prefix = ipv6Groups(subnet6.split("/")[0] ?? "").slice(0, -2);
  return formatIPv6Groups([...prefix, offset >>> 16, offset & 0xffff]);
}

function numberOf(address: string): number {
  const [a = 0, b = 0, c = 0, d = 0] = address.split(".").map(Number);
  return ((a * 256 + b) * 256 + c) * 256 + d;
}
