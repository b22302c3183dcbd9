/**
 * What conntrack has counted of flows, out of its netlink messages: of those that it lists, and of those that it tells of when
 * they end. With each connection there is one to read, so attributes are looked for in place and nothing is copied.
 * Constants are of linux/netfilter/nfnetlink_conntrack.h and nf_conntrack_common.h.
 */
import { endianness } from "node:os";
import { addressOfBytes } from "../../base/ip-address.ts";
import type { MeshProtocol } from "../view.ts";

/** Packets and bytes are 0 while the host's conntrack does not count them. */
export interface FlowCount {
  /** As `flowKey` makes it. */
  readonly key: string;
  readonly isAnswered: boolean;
  readonly receivedPackets: number;
  readonly receivedBytes: number;
  readonly sentPackets: number;
  readonly sentBytes: number;
}

/** The port that was asked, and who was led to: "tcp 8080 10.255.0.9". */
export function flowKey(protocol: MeshProtocol, port: number, address: string): string {
  return `${protocol} ${port} ${address}`;
}

const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const HEADER_BYTES = 16;
/** struct nfgenmsg. */
const FAMILY_BYTES = 4;
const ATTRIBUTE_HEADER_BYTES = 4;
const ALIGNMENT = 4;
/** Without the flags for nesting and the order of bytes. */
const TYPE_MASK = 0x3fff;

const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_REPLY = 2;
const CTA_STATUS = 3;
const CTA_COUNTERS_ORIG = 9;
const CTA_COUNTERS_REPLY = 10;
const CTA_TUPLE_IP = 1;
const CTA_TUPLE_PROTO = 2;
const CTA_IP_V4_SRC = 1;
const CTA_IP_V6_SRC = 3;
const CTA_PROTO_NUM = 1;
const CTA_PROTO_DST_PORT = 3;
const CTA_COUNTERS_PACKETS = 1;
const CTA_COUNTERS_BYTES = 2;
const IPS_SEEN_REPLY = 1 << 1;
const IPS_DST_NAT = 1 << 5;

const PROTOCOLS: Readonly<Record<number, MeshProtocol>> = { 6: "tcp", 17: "udp" };
const LITTLE_ENDIAN = endianness() === "LE";

/** What some messages say. */
export interface FlowCounts {
  readonly counts: readonly FlowCount[];
  /** Whether a list ends with them; one that the kernel refuses has ended. */
  readonly isLast: boolean;
}

/** Of flows that were led nowhere else it says nothing. */
export function flowCountsOf(messages: Buffer): FlowCounts {
  const counts: FlowCount[] = [];
  let isLast = false;
  for (let at = 0; at + HEADER_BYTES <= messages.length; ) {
    const end = at + readU32(messages, at);
    if (end < at + HEADER_BYTES || end > messages.length) break;
    const type = readU16(messages, at + 4);
    if (type === NLMSG_DONE || type === NLMSG_ERROR) {
      isLast = true;
    } else {
      const count = flowCount(messages, { at: at + HEADER_BYTES + FAMILY_BYTES, end });
      if (count !== undefined) counts.push(count);
    }
    at = aligned(end);
  }
  return { counts, isLast };
}

interface Span {
  readonly at: number;
  readonly end: number;
}

function flowCount(bytes: Buffer, flow: Span): FlowCount | undefined {
  const status = uintOf(bytes, find(bytes, flow, CTA_STATUS));
  if ((status & IPS_DST_NAT) === 0) return undefined;
  const asked = find(bytes, find(bytes, flow, CTA_TUPLE_ORIG), CTA_TUPLE_PROTO);
  const protocol = PROTOCOLS[uintOf(bytes, find(bytes, asked, CTA_PROTO_NUM))];
  const port = uintOf(bytes, find(bytes, asked, CTA_PROTO_DST_PORT));
  const answering = find(bytes, find(bytes, flow, CTA_TUPLE_REPLY), CTA_TUPLE_IP);
  const source =
    find(bytes, answering, CTA_IP_V4_SRC) ?? find(bytes, answering, CTA_IP_V6_SRC) ?? NOTHING;
  const address = addressOfBytes(bytes.subarray(source.at, source.end));
  if (protocol === undefined || address === undefined) return undefined;
  const received = find(bytes, flow, CTA_COUNTERS_ORIG);
  const sent = find(bytes, flow, CTA_COUNTERS_REPLY);
  return {
    key: flowKey(protocol, port, address),
    isAnswered: (status & IPS_SEEN_REPLY) !== 0,
    receivedPackets: uintOf(bytes, find(bytes, received, CTA_COUNTERS_PACKETS)),
    receivedBytes: uintOf(bytes, find(bytes, received, CTA_COUNTERS_BYTES)),
    sentPackets: uintOf(bytes, find(bytes, sent, CTA_COUNTERS_PACKETS)),
    sentBytes: uintOf(bytes, find(bytes, sent, CTA_COUNTERS_BYTES)),
  };
}

const NOTHING: Span = { at: 0, end: 0 };

/** Where the attribute's value is, among those of this span. */
function find(bytes: Buffer, within: Span | undefined, type: number): Span | undefined {
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
function uintOf(bytes: Buffer, span: Span = NOTHING): number {
  let value = 0;
  for (let at = span.at; at < span.end; at++) value = value * 256 + (bytes[at] ?? 0);
  return value;
}

function aligned(at: number): number {
  return Math.ceil(at / ALIGNMENT) * ALIGNMENT;
}

function readU16(bytes: Buffer, at: number): number {
  return LITTLE_ENDIAN ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at);
}

function readU32(bytes: Buffer, at: number): number {
  return LITTLE_ENDIAN ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at);
}
