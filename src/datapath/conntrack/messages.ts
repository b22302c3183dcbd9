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
  CTA_ID,
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
  IPCTNL_MSG_CT_GET_STATS,
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
import type { ListedFlow } from "./listed-flows.ts";

export const AF_UNSPEC = 0;
/** What of a tuple is compared. */
const BY_SOURCE = 1 << 0;
const BY_PROTOCOL = 1 << 3;
const BY_DESTINATION_PORT = 1 << 5;

/**
 * The kernel's filter by an IPv6 address (Linux 5.8 to 6.18 at least) is the wrong way round: it takes every address but
 * that one. What goes by such an address is listed, and each flow of it deleted.
 */
export function isByAddress6(forget: Forget): boolean {
  return forget.kind !== "unled-udp" && isOfIPv6(forget.address);
}

/** A netlink message that deletes it all; acknowledged with the sequence number. */
export function deletionMessage(forget: Forget, sequence: number): Buffer {
  const attributes = attributesOf(forget);
  return message(IPCTNL_MSG_CT_DELETE, NLM_F_ACK, sequence, attributes, familyOf(forget));
}

/** A netlink message that deletes one flow as it was listed, and no later one of its tuple; acknowledged with the sequence number. */
export function flowDeletionMessage({ id, tuple, family }: ListedFlow, sequence: number): Buffer {
  const attributes = [nested(CTA_TUPLE_ORIG, [tuple]), attribute(CTA_ID, id)];
  return message(IPCTNL_MSG_CT_DELETE, NLM_F_ACK, sequence, attributes, family);
}

/** A netlink message that lists the flows among which are all that are to be forgotten; with `family`, those of that one only. */
export function candidatesMessage(
  forget: readonly Forget[],
  family: typeof AF_INET6 | typeof AF_UNSPEC,
  sequence: number,
): Buffer {
  const areLed = forget.every(({ kind }) => TRAITS[kind].isLed);
  const attributes = areLed ? status(IPS_DST_NAT, IPS_DST_NAT) : [];
  return message(IPCTNL_MSG_CT_GET, NLM_F_DUMP, sequence, attributes, family);
}

/** Whether a listed flow is to be forgotten, by any of these. */
export function matcherOf(forget: readonly Forget[]): (flow: ListedFlow) => boolean {
  const byAddress = new Map<string, Forget["kind"][]>();
  const ports = new Set<string>();
  for (const one of forget) {
    if (one.kind === "unled-udp") ports.add(`${one.family === 6 ? AF_INET6 : AF_INET} ${one.port}`);
    else byAddress.set(one.address, [...(byAddress.get(one.address) ?? []), one.kind]);
  }
  return (flow) => {
    const kinds = byAddress.get(flow.answersFrom) ?? [];
    if (kinds.some((kind) => isOfKind(kind, flow))) return true;
    return ports.has(`${flow.family} ${flow.askedPort}`) && isOfKind("unled-udp", flow);
  };
}

/** Whatever its address and port. */
function isOfKind(kind: Forget["kind"], flow: ListedFlow): boolean {
  const {
    protocol,
    status: [value, mask],
  } = TRAITS[kind];
  return (protocol === undefined || flow.protocol === protocol) && (flow.status & mask) === value;
}

/** A netlink message that asks how many flows there are; it costs nothing, however many. */
export function countMessage(sequence: number): Buffer {
  return message(IPCTNL_MSG_CT_GET_STATS, 0, sequence, [], AF_UNSPEC);
}

/** A netlink message that lists the flows that this node has led to this IPv4 address; of TCP those that were answered. */
export function listMessage(protocol: "tcp" | "udp", address: string, sequence: number): Buffer {
  const attributes = [...repliesFrom(address, protocolOf(protocol)), ...ledStatus(protocol)];
  return message(IPCTNL_MSG_CT_GET, NLM_F_DUMP, sequence, attributes, AF_INET);
}

/** The same, to whatever IPv6 address. */
export function listAllMessage6(protocol: "tcp" | "udp", sequence: number): Buffer {
  const attributes = [...repliesOf(protocolOf(protocol)), ...ledStatus(protocol)];
  return message(IPCTNL_MSG_CT_GET, NLM_F_DUMP, sequence, attributes, AF_INET6);
}

/** A netlink message that lists all flows that this node has led elsewhere than they were sent, of both families and all protocols. */
export function listLedMessage(sequence: number): Buffer {
  const led = status(IPS_DST_NAT, IPS_DST_NAT);
  return message(IPCTNL_MSG_CT_GET, NLM_F_DUMP, sequence, led, AF_UNSPEC);
}

function attributesOf(forget: Forget): readonly Buffer[] {
  if (forget.kind === "unled-udp") return [...sentTo(forget.port), ...status(0, IPS_DST_NAT)];
  const {
    protocol,
    status: [value, mask],
  } = TRAITS[forget.kind];
  const ofProtocol = protocol === undefined ? [] : [u8(CTA_PROTO_NUM, protocol)];
  return [...repliesFrom(forget.address, ofProtocol), ...(mask === 0 ? [] : status(value, mask))];
}

interface Traits {
  readonly protocol?: number;
  readonly status: readonly [value: number, mask: number];
  /** Whether all of them have been led elsewhere than they were sent. */
  readonly isLed: boolean;
}

/** What the flows of each kind have in common besides their address or port. */
const TRAITS: Readonly<Record<Forget["kind"], Traits>> = {
  "all-to": { status: [0, 0], isLed: false },
  "udp-to": { protocol: IPPROTO_UDP, status: [IPS_DST_NAT, IPS_DST_NAT], isLed: true },
  "half-open-to": {
    protocol: IPPROTO_TCP,
    status: [IPS_DST_NAT, IPS_DST_NAT | IPS_SEEN_REPLY],
    isLed: true,
  },
  "unled-to": { status: [0, IPS_DST_NAT], isLed: false },
  "unled-udp": { protocol: IPPROTO_UDP, status: [0, IPS_DST_NAT], isLed: false },
};

function protocolOf(protocol: "tcp" | "udp"): readonly Buffer[] {
  return [u8(CTA_PROTO_NUM, protocol === "tcp" ? IPPROTO_TCP : IPPROTO_UDP)];
}

function ledStatus(protocol: "tcp" | "udp"): readonly Buffer[] {
  const wanted = protocol === "tcp" ? IPS_DST_NAT | IPS_SEEN_REPLY : IPS_DST_NAT;
  return status(wanted, wanted);
}

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
