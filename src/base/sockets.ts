/** The words of the kernel's calls on sockets, from its headers, for Linux on x86 and ARM alike. Pure. */
import { endianness } from "node:os";
import { assert } from "./assert.ts";
import { addressBytes } from "./ip-address.ts";

export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;
export const SOL_SOCKET = 1;
export const MSG_DONTWAIT = 0x40;

const IPV4_BYTES = 4;
const SOCKADDR_IN_BYTES = 16;
const SOCKADDR_IN6_BYTES = 28;

/** Where a socket sends to: struct sockaddr_in, or sockaddr_in6. `scope`: the index of the link that an address of a link's own is on. */
export function socketAddress(address: string, port = 0, scope = 0): Buffer {
  const bytes = addressBytes(address);
  assert(bytes !== undefined, `${address} is no address`);
  const isIPv4 = bytes.length === IPV4_BYTES;
  const made = Buffer.alloc(isIPv4 ? SOCKADDR_IN_BYTES : SOCKADDR_IN6_BYTES);
  const isLittle = endianness() === "LE";
  const family = isIPv4 ? AF_INET : AF_INET6;
  // The family and the scope are in the host's order of bytes, all else in the network's.
  if (isLittle) made.writeUInt16LE(family, 0);
  else made.writeUInt16BE(family, 0);
  made.writeUInt16BE(port, 2);
  bytes.copy(made, isIPv4 ? 4 : 8);
  if (isIPv4) return made;
  if (isLittle) made.writeUInt32LE(scope, 24);
  else made.writeUInt32BE(scope, 24);
  return made;
}
