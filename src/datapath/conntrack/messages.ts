/**
 * Deletions and lists as ctnetlink takes them: the kernel itself walks its table and deletes what matches, so nothing
 * is copied out, or lists what matches and nothing else. Constants are of linux/netfilter/nfnetlink_conntrack.h and nf_conntrack_common.h.
 */
import { endianness } from "node:os";
import { addressOfBytes, isOfIPv6 } from "../../base/ip-address.ts";
import { AF_INET, AF_INET6 } from "../../base/sockets.ts";
import type { Forget } from "./forget.ts";

const AF_UNSPEC = 0;
const NFNL_SUBSYS_CTNETLINK = 1;
const IPCTNL_MSG_CT_GET = 1;
const IPCTNL_MSG_CT_DELETE = 2;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const NLM_F_DUMP = 0x300;
const NLA_F_NESTED = 0x8000;
const IPPROTO_TCP = 6;
const IPPROTO_UDP = 17;

const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_REPLY = 2;
const CTA_STATUS = 3;
const CTA_PROTOINFO = 4;
const CTA_FILTER = 25;
const CTA_STATUS_MASK = 26;
const CTA_TUPLE_IP = 1;
const CTA_TUPLE_PROTO = 2;
const CTA_IP_V4_SRC = 1;
const CTA_IP_V4_DST = 2;
const CTA_IP_V6_SRC = 3;
const CTA_IP_V6_DST = 4;
const CTA_PROTO_NUM = 1;
const CTA_PROTO_SRC_PORT = 2;
const CTA_PROTO_DST_PORT = 3;
const CTA_PROTOINFO_TCP = 1;
const CTA_PROTOINFO_TCP_STATE = 1;
const CTA_FILTER_ORIG_FLAGS = 1;
const CTA_FILTER_REPLY_FLAGS = 2;
/** What of a tuple is compared. */
const BY_SOURCE = 1 << 0;
const BY_PROTOCOL = 1 << 3;
const BY_DESTINATION_PORT = 1 << 5;

const IPS_SEEN_REPLY = 1 << 1;
const IPS_DST_NAT = 1 << 5;

/** ESTABLISHED, FIN_WAIT, CLOSE_WAIT and LAST_ACK of enum tcp_conntrack: somebody still waits. */
const OPEN_STATES = new Set([3, 4, 5, 6]);

const HEADER_BYTES = 16;
/** struct nfgenmsg. */
const FAMILY_BYTES = 4;
const ALIGNMENT = 4;
const LITTLE_ENDIAN = endianness() === "LE";

/** What is forgotten by the address that answers come from. */
export type ForgetTo = Exclude<Forget, { readonly kind: "unled-udp" }>;

/**
 * The kernel's filter by an IPv6 address (Linux 5.8 to 6.18 at least) is the wrong way round: it takes every address but
 * that one. What goes by such an address is listed, and each flow of it deleted.
 */
export function isByAddress6(forget: Forget): forget is ForgetTo {
  return forget.kind !== "unled-udp" && isOfIPv6(forget.address);
}

/** A netlink message that deletes it all; acknowledged with the sequence number. */
export function deletionMessage(forget: Forget, sequence: number): Buffer {
  const attributes = attributesOf(forget);
  return message(IPCTNL_MSG_CT_DELETE, NLM_F_ACK, sequence, attributes, familyOf(forget));
}

/** A netlink message that lists all IPv6 flows of that kind, whatever their address. */
export function listMessage6(kind: ForgetTo["kind"], sequence: number): Buffer {
  const { protocol, state } = TRAITS[kind];
  const attributes = [...(protocol.length > 0 ? repliesOf(protocol) : []), ...state];
  return message(IPCTNL_MSG_CT_GET, NLM_F_DUMP, sequence, attributes, AF_INET6);
}

/** A netlink message that deletes one IPv6 flow, given by the tuple that was listed; acknowledged with the sequence number. */
export function flowDeletionMessage6(tuple: Buffer, sequence: number): Buffer {
  const attributes = [attribute(CTA_TUPLE_ORIG | NLA_F_NESTED, tuple)];
  return message(IPCTNL_MSG_CT_DELETE, NLM_F_ACK, sequence, attributes, AF_INET6);
}

/**
 * A netlink message that lists the flows that this node has led to the address, or of IPv6 to whatever task; of TCP those
 * that were answered.
 */
export function listMessage(protocol: "tcp" | "udp", address: string, sequence: number): Buffer {
  const isTCP = protocol === "tcp";
  const wanted = isTCP ? IPS_DST_NAT | IPS_SEEN_REPLY : IPS_DST_NAT;
  const ofProtocol = [u8(CTA_PROTO_NUM, isTCP ? IPPROTO_TCP : IPPROTO_UDP)];
  const isIPv6 = isOfIPv6(address);
  const attributes = [
    ...(isIPv6 ? repliesOf(ofProtocol) : repliesFrom(address, ofProtocol)),
    ...status(wanted, wanted),
  ];
  const family = isIPv6 ? AF_INET6 : AF_INET;
  return message(IPCTNL_MSG_CT_GET, NLM_F_DUMP, sequence, attributes, family);
}

/** A netlink message that lists all flows that this node has led elsewhere than they were sent. */
export function listLedMessage(sequence: number): Buffer {
  const led = status(IPS_DST_NAT, IPS_DST_NAT);
  return message(IPCTNL_MSG_CT_GET, NLM_F_DUMP, sequence, led, AF_UNSPEC);
}

function message(
  type: number,
  flags: number,
  sequence: number,
  attributes: readonly Buffer[],
  family = AF_INET,
): Buffer {
  const body = Buffer.concat([Buffer.from([family, 0, 0, 0]), ...attributes]);
  const header = Buffer.alloc(HEADER_BYTES);
  writeU32(header, HEADER_BYTES + body.length, 0);
  writeU16(header, (NFNL_SUBSYS_CTNETLINK << 8) | type, 4);
  writeU16(header, NLM_F_REQUEST | flags, 6);
  writeU32(header, sequence, 8);
  return Buffer.concat([header, body]);
}

/** What a client sees, and what its task does. */
export interface Flow {
  readonly client: Endpoint;
  readonly server: Endpoint;
  readonly task: Endpoint;
  /** Where the task's answers go: to the client, or to who stands for it. */
  readonly replyTo: Endpoint;
}

export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** What one answer to a list says, of the list with this sequence number. */
export interface ListPart<T> {
  readonly flows: readonly T[];
  readonly isLast: boolean;
}

/** A list that the kernel refuses is an empty one. `decode` takes a flow's attributes. */
export function listPartOf<T>(
  answer: Buffer,
  sequence: number,
  decode: (attributes: Buffer) => readonly T[],
): ListPart<T> {
  const flows: T[] = [];
  let isLast = false;
  for (let at = 0; at + HEADER_BYTES <= answer.length; ) {
    const length = readU32(answer, at);
    const one = answer.subarray(at, at + length);
    if (length < HEADER_BYTES || one.length < length) break;
    at += Math.ceil(length / ALIGNMENT) * ALIGNMENT;
    if (readU32(one, 8) !== sequence) continue;
    const type = readU16(one, 4);
    if (type === NLMSG_DONE || type === NLMSG_ERROR) isLast = true;
    else flows.push(...decode(one.subarray(HEADER_BYTES + FAMILY_BYTES)));
  }
  return { flows, isLast };
}

/** A flow of whatever protocol, by which it can be deleted. */
export interface ListedFlow {
  readonly answersFrom: string;
  /** The request's tuple, as the kernel has it. */
  readonly tuple: Buffer;
}

export function listedFlow(attributes: Buffer): ListedFlow[] {
  const flow = decodeAttributes(attributes);
  const tuple = flow.get(CTA_TUPLE_ORIG);
  const reply = decodeAttributes(decodeAttributes(flow.get(CTA_TUPLE_REPLY)).get(CTA_TUPLE_IP));
  const answersFrom = addressIn(reply, CTA_IP_V4_SRC, CTA_IP_V6_SRC);
  return tuple && answersFrom ? [{ answersFrom, tuple }] : [];
}

/** None when it is closed and only remembered. */
export function openFlow(attributes: Buffer): Flow[] {
  const flow = decodeAttributes(attributes);
  const tcp = decodeAttributes(decodeAttributes(flow.get(CTA_PROTOINFO)).get(CTA_PROTOINFO_TCP));
  const state = tcp.get(CTA_PROTOINFO_TCP_STATE)?.[0];
  const request = decodeTuple(flow.get(CTA_TUPLE_ORIG));
  const reply = decodeTuple(flow.get(CTA_TUPLE_REPLY));
  if (request === undefined || reply === undefined) return [];
  if (state !== undefined && !OPEN_STATES.has(state)) return [];
  return [{ client: request.from, server: request.to, task: reply.from, replyTo: reply.to }];
}

function decodeTuple(attributes: Buffer | undefined) {
  const tuple = decodeAttributes(attributes);
  const ip = decodeAttributes(tuple.get(CTA_TUPLE_IP));
  const ports = decodeAttributes(tuple.get(CTA_TUPLE_PROTO));
  const from = addressIn(ip, CTA_IP_V4_SRC, CTA_IP_V6_SRC);
  const to = addressIn(ip, CTA_IP_V4_DST, CTA_IP_V6_DST);
  const [fromPort, toPort] = [ports.get(CTA_PROTO_SRC_PORT), ports.get(CTA_PROTO_DST_PORT)];
  if (!from || !to || !fromPort || !toPort) return undefined;
  return {
    from: { address: from, port: fromPort.readUInt16BE() },
    to: { address: to, port: toPort.readUInt16BE() },
  };
}

function addressIn(ip: ReadonlyMap<number, Buffer>, v4: number, v6: number): string | undefined {
  const bytes = ip.get(v4) ?? ip.get(v6);
  return bytes && addressOfBytes(bytes);
}

function decodeAttributes(from: Buffer | undefined): Map<number, Buffer> {
  const found = new Map<number, Buffer>();
  for (let at = 0; from !== undefined && at + 4 <= from.length; ) {
    const length = readU16(from, at);
    if (length < 4) break;
    found.set(readU16(from, at + 2) & ~NLA_F_NESTED, from.subarray(at + 4, at + length));
    at += Math.ceil(length / ALIGNMENT) * ALIGNMENT;
  }
  return found;
}

/** 0, or the errno with which the kernel refused the message with this sequence number; undefined for another's. */
export function errnoOf(answer: Buffer, sequence: number): number | undefined {
  if (answer.length < HEADER_BYTES + 4 || readU16(answer, 4) !== NLMSG_ERROR) return undefined;
  if (readU32(answer, 8) !== sequence) return undefined;
  return -(LITTLE_ENDIAN ? answer.readInt32LE(HEADER_BYTES) : answer.readInt32BE(HEADER_BYTES));
}

function attributesOf(forget: Forget): readonly Buffer[] {
  if (forget.kind === "unled-udp") return [...sentTo(forget.port), ...status(0, IPS_DST_NAT)];
  const { protocol, state } = TRAITS[forget.kind];
  return [...repliesFrom(forget.address, protocol), ...state];
}

interface Traits {
  readonly protocol: readonly Buffer[];
  readonly state: readonly Buffer[];
}

/** What the flows of each kind have in common besides their address. */
const TRAITS: Readonly<Record<ForgetTo["kind"], Traits>> = {
  "all-to": { protocol: [], state: [] },
  "udp-to": {
    protocol: [u8(CTA_PROTO_NUM, IPPROTO_UDP)],
    state: status(IPS_DST_NAT, IPS_DST_NAT),
  },
  "half-open-to": {
    protocol: [u8(CTA_PROTO_NUM, IPPROTO_TCP)],
    state: status(IPS_DST_NAT, IPS_DST_NAT | IPS_SEEN_REPLY),
  },
  "unled-to": { protocol: [], state: status(0, IPS_DST_NAT) },
};

function familyOf(forget: Forget): number {
  return forget.kind === "unled-udp" && forget.family === 6 ? AF_INET6 : AF_INET;
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

function repliesOf(protocol: readonly Buffer[]): readonly Buffer[] {
  return [
    nested(CTA_TUPLE_REPLY, [nested(CTA_TUPLE_PROTO, protocol)]),
    nested(CTA_FILTER, [hostU32(CTA_FILTER_REPLY_FLAGS, BY_PROTOCOL)]),
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
