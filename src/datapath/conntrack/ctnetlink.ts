/**
 * The words of ctnetlink, which tells of conntrack's flows and takes what is to become of them: from linux/netlink.h,
 * linux/netfilter/nfnetlink_conntrack.h and nf_conntrack_common.h, and how messages are laid out. Pure.
 */
import { endianness } from "node:os";
import { addressOfBytes } from "../../base/ip-address.ts";

const NFNL_SUBSYS_CTNETLINK = 1;
export const IPCTNL_MSG_CT_GET = 1;
export const IPCTNL_MSG_CT_DELETE = 2;
export const IPCTNL_MSG_CT_GET_STATS = 5;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_REQUEST = 1;
export const NLM_F_ACK = 4;
export const NLM_F_DUMP = 0x300;
const NLA_F_NESTED = 0x8000;

export const IPPROTO_TCP = 6;
export const IPPROTO_UDP = 17;

export const CTA_TUPLE_ORIG = 1;
export const CTA_TUPLE_REPLY = 2;
export const CTA_STATUS = 3;
export const CTA_PROTOINFO = 4;
export const CTA_COUNTERS_ORIG = 9;
export const CTA_COUNTERS_REPLY = 10;
export const CTA_ID = 12;
export const CTA_FILTER = 25;
export const CTA_STATUS_MASK = 26;
export const CTA_TUPLE_IP = 1;
export const CTA_TUPLE_PROTO = 2;
export const CTA_IP_V4_SRC = 1;
export const CTA_IP_V4_DST = 2;
export const CTA_IP_V6_SRC = 3;
export const CTA_IP_V6_DST = 4;
export const CTA_PROTO_NUM = 1;
export const CTA_PROTO_SRC_PORT = 2;
export const CTA_PROTO_DST_PORT = 3;
export const CTA_COUNTERS_PACKETS = 1;
export const CTA_COUNTERS_BYTES = 2;
export const CTA_PROTOINFO_TCP = 1;
export const CTA_PROTOINFO_TCP_STATE = 1;
export const CTA_STATS_GLOBAL_ENTRIES = 1;
export const CTA_FILTER_ORIG_FLAGS = 1;
export const CTA_FILTER_REPLY_FLAGS = 2;

/** An address of either family, as `addressIn` looks for it. */
export const IP_SOURCE = [CTA_IP_V4_SRC, CTA_IP_V6_SRC] as const;
export const IP_DESTINATION = [CTA_IP_V4_DST, CTA_IP_V6_DST] as const;

export const IPS_SEEN_REPLY = 1 << 1;
export const IPS_DST_NAT = 1 << 5;

const HEADER_BYTES = 16;
/** struct nfgenmsg. */
const FAMILY_BYTES = 4;
const ATTRIBUTE_HEADER_BYTES = 4;
const ALIGNMENT = 4;
/** Without the flags for nesting and the order of bytes. */
const TYPE_MASK = 0x3fff;
const LITTLE_ENDIAN = endianness() === "LE";

/** A request of ctnetlink's, for that address family. */
export function message(
  type: number,
  flags: number,
  sequence: number,
  attributes: readonly Buffer[],
  family: number,
): Buffer {
  const body = Buffer.concat([Buffer.from([family, 0, 0, 0]), ...attributes]);
  const header = Buffer.alloc(HEADER_BYTES);
  writeU32(header, HEADER_BYTES + body.length, 0);
  writeU16(header, (NFNL_SUBSYS_CTNETLINK << 8) | type, 4);
  writeU16(header, NLM_F_REQUEST | flags, 6);
  writeU32(header, sequence, 8);
  return Buffer.concat([header, body]);
}

/** An attribute that has others in it. */
export function nested(type: number, attributes: readonly Buffer[]): Buffer {
  return attribute(type | NLA_F_NESTED, Buffer.concat(attributes));
}

/** An attribute, filled up to where the next may begin. */
export function attribute(type: number, payload: Buffer): Buffer {
  const length = ATTRIBUTE_HEADER_BYTES + payload.length;
  const made = Buffer.alloc(aligned(length));
  writeU16(made, length, 0);
  writeU16(made, type, 2);
  payload.copy(made, ATTRIBUTE_HEADER_BYTES);
  return made;
}

/** An attribute of one byte. */
export function u8(type: number, value: number): Buffer {
  return attribute(type, Buffer.from([value]));
}

/** An attribute of a number in the network's order of bytes. */
export function networkU32(type: number, value: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(value);
  return attribute(type, payload);
}

/** An attribute of a number in this host's order of bytes. */
export function hostU32(type: number, value: number): Buffer {
  const payload = Buffer.alloc(4);
  writeU32(payload, value, 0);
  return attribute(type, payload);
}

/** A part of the bytes that the kernel gave: attributes, or the value of one. They are looked for in place, and nothing is copied. */
export interface Span {
  readonly at: number;
  readonly end: number;
}

/** One of the messages that came at once. */
export interface Answer {
  readonly sequence: number;
  /** Whether a list ends with it; one that the kernel refuses has ended. */
  readonly isLast: boolean;
  readonly attributes: Span;
}

/** The messages in these bytes, up to one that is not whole. */
export function* answersIn(bytes: Buffer): Generator<Answer> {
  for (let at = 0; at + HEADER_BYTES <= bytes.length; ) {
    const end = at + readU32(bytes, at);
    if (end < at + HEADER_BYTES || end > bytes.length) return;
    const type = readU16(bytes, at + 4);
    yield {
      sequence: readU32(bytes, at + 8),
      isLast: type === NLMSG_DONE || type === NLMSG_ERROR,
      attributes: { at: at + HEADER_BYTES + FAMILY_BYTES, end },
    };
    at = aligned(end);
  }
}

/** 0, or the errno with which the kernel refused the message with this sequence number; undefined for another's. */
export function errnoOf(answer: Buffer, sequence: number): number | undefined {
  if (answer.length < HEADER_BYTES + 4 || readU16(answer, 4) !== NLMSG_ERROR) return undefined;
  if (readU32(answer, 8) !== sequence) return undefined;
  return -(LITTLE_ENDIAN ? answer.readInt32LE(HEADER_BYTES) : answer.readInt32BE(HEADER_BYTES));
}

/** The value of the first attribute of this type, among those of a span. */
export function find(bytes: Buffer, within: Span | undefined, type: number): Span | undefined {
  if (within === undefined) return undefined;
  for (let at = within.at; at + ATTRIBUTE_HEADER_BYTES <= within.end; ) {
    const end = at + readU16(bytes, at);
    if (end < at + ATTRIBUTE_HEADER_BYTES || end > within.end) return undefined;
    if ((readU16(bytes, at + 2) & TYPE_MASK) === type) {
      return { at: at + ATTRIBUTE_HEADER_BYTES, end };
    }
    at = aligned(end);
  }
  return undefined;
}

/** A number in the network's order of bytes; 0 when it is not there. Above 2^53 it is rounded. */
export function uintOf(bytes: Buffer, span: Span | undefined): number {
  let value = 0;
  for (let at = span?.at ?? 0; at < (span?.end ?? 0); at++) value = value * 256 + (bytes[at] ?? 0);
  return value;
}

/** The address of either family, by the types of its attributes among those of a span. */
export function addressIn(
  bytes: Buffer,
  within: Span | undefined,
  [v4, v6]: readonly [v4: number, v6: number],
): string | undefined {
  const found = find(bytes, within, v4) ?? find(bytes, within, v6);
  return found && addressOfBytes(bytes.subarray(found.at, found.end));
}

function aligned(at: number): number {
  return Math.ceil(at / ALIGNMENT) * ALIGNMENT;
}

function writeU16(into: Buffer, value: number, at: number): void {
  if (LITTLE_ENDIAN) into.writeUInt16LE(value, at);
  else into.writeUInt16BE(value, at);
}

function writeU32(into: Buffer, value: number, at: number): void {
  if (LITTLE_ENDIAN) into.writeUInt32LE(value, at);
  else into.writeUInt32BE(value, at);
}

function readU16(from: Buffer, at: number): number {
  return LITTLE_ENDIAN ? from.readUInt16LE(at) : from.readUInt16BE(at);
}

function readU32(from: Buffer, at: number): number {
  return LITTLE_ENDIAN ? from.readUInt32LE(at) : from.readUInt32BE(at);
}
