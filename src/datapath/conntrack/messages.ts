/**
 * Deletions as ctnetlink takes them: the kernel itself walks its table and deletes what matches, so nothing is
 * copied out. Constants are of linux/netfilter/nfnetlink_conntrack.h and nf_conntrack_common.h.
 */
import { endianness } from "node:os";
import { unreachable } from "../../base/assert.ts";
import type { Forget } from "./forget.ts";

const NFNL_SUBSYS_CTNETLINK = 1;
const IPCTNL_MSG_CT_DELETE = 2;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const NLA_F_NESTED = 0x8000;
const AF_INET = 2;
const IPPROTO_TCP = 6;
const IPPROTO_UDP = 17;

const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_REPLY = 2;
const CTA_STATUS = 3;
const CTA_FILTER = 25;
const CTA_STATUS_MASK = 26;
const CTA_TUPLE_IP = 1;
const CTA_TUPLE_PROTO = 2;
const CTA_IP_V4_SRC = 1;
const CTA_PROTO_NUM = 1;
const CTA_PROTO_DST_PORT = 3;
const CTA_FILTER_ORIG_FLAGS = 1;
const CTA_FILTER_REPLY_FLAGS = 2;
/** What of a tuple is compared. */
const BY_SOURCE = 1 << 0;
const BY_PROTOCOL = 1 << 3;
const BY_DESTINATION_PORT = 1 << 5;

const IPS_SEEN_REPLY = 1 << 1;
const IPS_DST_NAT = 1 << 5;

const HEADER_BYTES = 16;
const ALIGNMENT = 4;
const LITTLE_ENDIAN = endianness() === "LE";

/** A netlink message that deletes it all; acknowledged with the sequence number. */
export function deletionMessage(forget: Forget, sequence: number): Buffer {
  const body = Buffer.concat([Buffer.from([AF_INET, 0, 0, 0]), ...attributesOf(forget)]);
  const header = Buffer.alloc(HEADER_BYTES);
  writeU32(header, HEADER_BYTES + body.length, 0);
  writeU16(header, (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_DELETE, 4);
  writeU16(header, NLM_F_REQUEST | NLM_F_ACK, 6);
  writeU32(header, sequence, 8);
  return Buffer.concat([header, body]);
}

/** 0, or the errno with which the kernel refused the message with this sequence number; undefined for another's. */
export function errnoOf(answer: Buffer, sequence: number): number | undefined {
  const NLMSG_ERROR = 2;
  if (answer.length < HEADER_BYTES + 4 || readU16(answer, 4) !== NLMSG_ERROR) return undefined;
  if (readU32(answer, 8) !== sequence) return undefined;
  return -(LITTLE_ENDIAN ? answer.readInt32LE(HEADER_BYTES) : answer.readInt32BE(HEADER_BYTES));
}

function attributesOf(forget: Forget): readonly Buffer[] {
  switch (forget.kind) {
    case "all-to":
      return repliesFrom(forget.address, []);
    case "udp-to":
      return [
        ...repliesFrom(forget.address, [u8(CTA_PROTO_NUM, IPPROTO_UDP)]),
        ...status(IPS_DST_NAT, IPS_DST_NAT),
      ];
    case "half-open-to":
      return [
        ...repliesFrom(forget.address, [u8(CTA_PROTO_NUM, IPPROTO_TCP)]),
        ...status(IPS_DST_NAT, IPS_DST_NAT | IPS_SEEN_REPLY),
      ];
    case "unled-udp":
      return [...sentTo(forget.port), ...status(0, IPS_DST_NAT)];
    default:
      return unreachable(forget);
  }
}

/** Whatever a flow's destination was translated from, its replies come from the task. */
function repliesFrom(address: string, protocol: readonly Buffer[]): readonly Buffer[] {
  const source = Buffer.from(address.split(".").map(Number));
  const flags = BY_SOURCE | (protocol.length > 0 ? BY_PROTOCOL : 0);
  return [
    nested(CTA_TUPLE_REPLY, [
      nested(CTA_TUPLE_IP, [attribute(CTA_IP_V4_SRC, source)]),
      ...(protocol.length > 0 ? [nested(CTA_TUPLE_PROTO, protocol)] : []),
    ]),
    nested(CTA_FILTER, [hostU32(CTA_FILTER_REPLY_FLAGS, flags)]),
  ];
}

function sentTo(port: number): readonly Buffer[] {
  const destination = Buffer.alloc(2);
  destination.writeUInt16BE(port);
  return [
    nested(CTA_TUPLE_ORIG, [
      nested(CTA_TUPLE_PROTO, [
        u8(CTA_PROTO_NUM, IPPROTO_UDP),
        attribute(CTA_PROTO_DST_PORT, destination),
      ]),
    ]),
    nested(CTA_FILTER, [hostU32(CTA_FILTER_ORIG_FLAGS, BY_PROTOCOL | BY_DESTINATION_PORT)]),
  ];
}

/** Only what this node itself has led somewhere: a flow that another node led here is that node's to move. */
function status(value: number, mask: number): readonly Buffer[] {
  return [networkU32(CTA_STATUS, value), networkU32(CTA_STATUS_MASK, mask)];
}

function nested(type: number, attributes: readonly Buffer[]): Buffer {
  return attribute(type | NLA_F_NESTED, Buffer.concat(attributes));
}

function attribute(type: number, payload: Buffer): Buffer {
  const length = 4 + payload.length;
  const made = Buffer.alloc(Math.ceil(length / ALIGNMENT) * ALIGNMENT);
  writeU16(made, length, 0);
  writeU16(made, type, 2);
  payload.copy(made, 4);
  return made;
}

function u8(type: number, value: number): Buffer {
  return attribute(type, Buffer.from([value]));
}

function networkU32(type: number, value: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(value);
  return attribute(type, payload);
}

function hostU32(type: number, value: number): Buffer {
  const payload = Buffer.alloc(4);
  writeU32(payload, value, 0);
  return attribute(type, payload);
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
