/**
 * Deletions and lists as ctnetlink takes them: the kernel itself walks its table and deletes what matches, so nothing
 * is copied out, or lists what matches and nothing else. Pure.
 */
import { isOfIPv6 } from "../../base/ip-address.ts";
import { AF_INET, AF_INET6 } from "../../base/sockets.ts";
import {
  attribute,
  CTA_FILTER,
  CTA_FILTER_ORIG_FLAGS,
  CTA_FILTER_REPLY_FLAGS,
  CTA_IP_V4_SRC,
  CTA_PROTO_DST_PORT,
  CTA_PROTO_NUM,
  CTA_STATUS,
  CTA_STATUS_MASK,
  CTA_TUPLE_IP,
  CTA_TUPLE_ORIG,
  CTA_TUPLE_PROTO,
  CTA_TUPLE_REPLY,
  hostU32,
  IPCTNL_MSG_CT_DELETE,
  IPCTNL_MSG_CT_GET,
  IPPROTO_TCP,
  IPPROTO_UDP,
  IPS_DST_NAT,
  IPS_SEEN_REPLY,
  message,
  NLM_F_ACK,
  NLM_F_DUMP,
  nested,
  networkU32,
  u8,
} from "./ctnetlink.ts";
import type { Forget } from "./forget.ts";

const AF_UNSPEC = 0;
/** What of a tuple is compared. */
const BY_SOURCE = 1 << 0;
const BY_PROTOCOL = 1 << 3;
const BY_DESTINATION_PORT = 1 << 5;

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
  const attributes = [nested(CTA_TUPLE_ORIG, [tuple])];
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
