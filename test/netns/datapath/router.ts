/** Says on a link that it is a router, as one on a user's LAN does (RFC 4861 §4.2). */
import { readFileSync } from "node:fs";
import { endianness } from "node:os";
import koffi from "koffi";

const AF_INET6 = 10;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const IPPROTO_ICMPV6 = 58;
const IPPROTO_IPV6 = 41;
const IPV6_MULTICAST_HOPS = 18;
/** With less it was forwarded, and nobody believes it. */
const HOPS = 255;
const ROUTER_ADVERTISEMENT = 134;
const ALL_NODES = Buffer.from("ff020000000000000000000000000001", "hex");

/** One advertisement by `link`; `lifetimeS` 0 takes the default route back. Throws while the link has no address yet. */
export function advertise(link: string, lifetimeS: number): void {
  const library = koffi.load("libc.so.6");
  const socket = library.func("int socket(int domain, int type, int protocol)");
  const close = library.func("int close(int fd)");
  const setsockopt = library.func(
    "int setsockopt(int fd, int level, int name, const uint8_t *value, uint32_t length)",
  );
  const sendto = library.func(
    "long sendto(int fd, const uint8_t *buf, size_t len, int flags, const uint8_t *to, uint32_t tolen)",
  );
  const fd: number = socket(AF_INET6, SOCK_RAW_CLOEXEC, IPPROTO_ICMPV6);
  if (fd < 0) throw new Error(`no raw socket: errno ${koffi.errno()}`);
  try {
    const hops = inHostOrder(HOPS);
    setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, hops, hops.length);
    const packet = advertisement(lifetimeS);
    const to = allNodesOn(link);
    const sent: number = sendto(fd, packet, packet.length, 0, to, to.length);
    if (sent !== packet.length) throw new Error(`not advertised: errno ${koffi.errno()}`);
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

/** struct sockaddr_in6. */
function allNodesOn(link: string): Buffer {
  const family = inHostOrder(AF_INET6);
  const made = Buffer.alloc(28);
  family.copy(made, 0, endianness() === "LE" ? 0 : 2, endianness() === "LE" ? 2 : 4);
  ALL_NODES.copy(made, 8);
  inHostOrder(indexOf(link)).copy(made, 24);
  return made;
}

/** Of this network namespace, which /sys may not be of. */
function indexOf(link: string): number {
  const rows = readFileSync("/proc/net/if_inet6", "utf8").split("\n");
  const row = rows.map((one) => one.trim().split(/\s+/)).find((words) => words.at(-1) === link);
  return Number.parseInt(row?.[1] ?? "0", 16);
}

function inHostOrder(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  if (endianness() === "LE") bytes.writeInt32LE(value);
  else bytes.writeInt32BE(value);
  return bytes;
}
