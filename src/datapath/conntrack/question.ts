/**
 * The packet that makes a TCP client say where its connection stands: a SYN and ACK out of nowhere, in its server's
 * name. Whatever its numbers, the client answers with an ACK (RFC 5961 §4.2), which takes the connection's own way;
 * and what the rules answer to it has the numbers that the client will believe. Nothing is told by the packet itself:
 * conntrack finds no connection that begins so, and passes it on unchanged. Pure.
 */
import { assert } from "../../base/assert.ts";
import { addressBytes } from "../../base/ip-address.ts";
import { socketAddress } from "../../base/sockets.ts";
import type { Endpoint, Flow } from "./listed-flows.ts";

const IP_HEADER_BYTES = 20;
const IP6_HEADER_BYTES = 40;
const VERSION6 = 0x60;
const TCP_HEADER_BYTES = 20;
const IPV4_BYTES = 4;
const VERSION_AND_LENGTH = 0x45;
const DONT_FRAGMENT = 0x4000;
const TTL = 64;
const IPPROTO_TCP = 6;
const DATA_OFFSET = (TCP_HEADER_BYTES / 4) << 4;
const SYN_ACK = 0x12;

export interface Question {
  /** IP header and segment; the kernel puts IPv4's total length, identification and the header's checksum. */
  readonly packet: Buffer;
  /** struct sockaddr_in, or sockaddr_in6, of where it goes. */
  readonly to: Buffer;
}

export function questionOf({ client, server }: Pick<Flow, "client" | "server">): Question {
  const [from, to] = [bytesOf(server), bytesOf(client)];
  const segment = Buffer.alloc(TCP_HEADER_BYTES);
  segment.writeUInt16BE(server.port, 0);
  segment.writeUInt16BE(client.port, 2);
  segment.writeUInt8(DATA_OFFSET, 12);
  segment.writeUInt8(SYN_ACK, 13);
  segment.writeUInt16BE(checksum(Buffer.concat([pseudoHeader(from, to), segment])), 16);
  return {
    packet: Buffer.concat([ipHeader(from, to), segment]),
    to: socketAddress(client.address),
  };
}

function ipHeader(from: Buffer, to: Buffer): Buffer {
  if (from.length !== IPV4_BYTES) return ip6Header(from, to);
  const header = Buffer.alloc(IP_HEADER_BYTES);
  header.writeUInt8(VERSION_AND_LENGTH, 0);
  header.writeUInt16BE(IP_HEADER_BYTES + TCP_HEADER_BYTES, 2);
  header.writeUInt16BE(DONT_FRAGMENT, 6);
  header.writeUInt8(TTL, 8);
  header.writeUInt8(IPPROTO_TCP, 9);
  from.copy(header, 12);
  to.copy(header, 16);
  return header;
}

function ip6Header(from: Buffer, to: Buffer): Buffer {
  const header = Buffer.alloc(IP6_HEADER_BYTES);
  header.writeUInt8(VERSION6, 0);
  header.writeUInt16BE(TCP_HEADER_BYTES, 4);
  header.writeUInt8(IPPROTO_TCP, 6);
  header.writeUInt8(TTL, 7);
  from.copy(header, 8);
  to.copy(header, 24);
  return header;
}

/** IPv6's has wider fields (RFC 8200 §8.1), which sum up to the same. */
function pseudoHeader(from: Buffer, to: Buffer): Buffer {
  return Buffer.concat([from, to, Buffer.from([0, IPPROTO_TCP, 0, TCP_HEADER_BYTES])]);
}

/** RFC 1071, over whole words. */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function bytesOf({ address }: Endpoint): Buffer {
  const bytes = addressBytes(address);
  assert(bytes !== undefined, `${address} is no address`);
  return bytes;
}
