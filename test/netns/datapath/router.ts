/** Says on a link that it is a router, as one on a user's LAN does (RFC 4861 §4.2). */
import { readFileSync } from "node:fs";
import { CallError, libc } from "../../../src/base/libc.ts";
import { AF_INET6, SOCK_CLOEXEC, SOCK_RAW, socketAddress } from "../../../src/base/sockets.ts";

const IPPROTO_ICMPV6 = 58;
const IPPROTO_IPV6 = 41;
const IPV6_MULTICAST_HOPS = 18;
/** With less it was forwarded, and nobody believes it. */
const HOPS = 255;
const ROUTER_ADVERTISEMENT = 134;
const ALL_NODES = "ff02::1";

/** One advertisement by `link`; `lifetimeS` 0 takes the default route back. Throws while the link has no address yet. */
export function advertise(link: string, lifetimeS: number): void {
  const { socket, setsockopt, sendto, close } = libc();
  const fd = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMPV6);
  if (fd < 0) throw new CallError("no raw socket", fd);
  try {
    setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, HOPS);
    const to = socketAddress(ALL_NODES, 0, indexOf(link));
    const sent = sendto(fd, advertisement(lifetimeS), 0, to);
    if (sent < 0) throw new CallError("not advertised", sent);
  } finally {
    close(fd);
  }
}

/** The kernel puts the checksum. */
function advertisement(lifetimeS: number): Buffer {
  const packet = Buffer.alloc(16);
  packet.writeUInt8(ROUTER_ADVERTISEMENT, 0);
  packet.writeUInt8(64, 4);
  packet.writeUInt16BE(lifetimeS, 6);
  return packet;
}

/** Of this network namespace, which /sys may not be of. */
function indexOf(link: string): number {
  const rows = readFileSync("/proc/net/if_inet6", "utf8").split("\n");
  const row = rows.map((one) => one.trim().split(/\s+/)).find((words) => words.at(-1) === link);
  return Number.parseInt(row?.[1] ?? "0", 16);
}
