/** Flows out of the answers to a list of ctnetlink's. Pure. */
import { isOfIPv6 } from "../../base/ip-address.ts";
import { AF_INET, AF_INET6 } from "../../base/sockets.ts";
import {
  addressIn,
  answersIn,
  CTA_ID,
  CTA_PROTO_DST_PORT,
  CTA_PROTO_NUM,
  CTA_PROTO_SRC_PORT,
  CTA_PROTOINFO,
  CTA_PROTOINFO_TCP,
  CTA_PROTOINFO_TCP_STATE,
  CTA_STATS_GLOBAL_ENTRIES,
  CTA_STATUS,
  CTA_TUPLE_IP,
  CTA_TUPLE_ORIG,
  CTA_TUPLE_PROTO,
  CTA_TUPLE_REPLY,
  find,
  IP_DESTINATION,
  IP_SOURCE,
  IPPROTO_TCP,
  IPPROTO_UDP,
  type Span,
  uintOf,
} from "./ctnetlink.ts";

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

/** What is made of a flow's attributes: one or none. */
export type DecodeFlow<T> = (bytes: Buffer, flow: Span) => readonly T[];

/** A list that the kernel refuses is an empty one. */
export function listPartOf<T>(
  answer: Buffer,
  sequence: number,
  decode: DecodeFlow<T>,
): ListPart<T> {
  const flows: T[] = [];
  let isLast = false;
  for (const one of answersIn(answer)) {
    if (one.sequence !== sequence) continue;
    if (one.isLast) isLast = true;
    else flows.push(...decode(answer, one.attributes));
  }
  return { flows, isLast };
}

/** A flow of whatever protocol, by which it can be deleted. */
export interface ListedFlow {
  /** AF_INET or AF_INET6. */
  readonly family: number;
  readonly answersFrom: string;
  readonly protocol: number;
  /** 0 for protocols that have none. */
  readonly askedPort: number;
  /** Of enum ip_conntrack_status. */
  readonly status: number;
  /** The kernel's name for this flow: a later one of the same tuple has another. */
  readonly id: Buffer;
  /** The request's tuple, as the kernel has it. */
  readonly tuple: Buffer;
}

export function listedFlow(bytes: Buffer, flow: Span): ListedFlow[] {
  const tuple = find(bytes, flow, CTA_TUPLE_ORIG);
  const id = find(bytes, flow, CTA_ID);
  const reply = find(bytes, flow, CTA_TUPLE_REPLY);
  const answersFrom = addressIn(bytes, find(bytes, reply, CTA_TUPLE_IP), IP_SOURCE);
  if (tuple === undefined || id === undefined || answersFrom === undefined) return [];
  const request = find(bytes, tuple, CTA_TUPLE_PROTO);
  return [
    {
      family: isOfIPv6(answersFrom) ? AF_INET6 : AF_INET,
      answersFrom,
      protocol: uintOf(bytes, find(bytes, request, CTA_PROTO_NUM)),
      askedPort: uintOf(bytes, find(bytes, request, CTA_PROTO_DST_PORT)),
      status: uintOf(bytes, find(bytes, flow, CTA_STATUS)),
      id: bytes.subarray(id.at, id.end),
      tuple: bytes.subarray(tuple.at, tuple.end),
    },
  ];
}

/** How many flows there are, by the answer to that question; undefined for another's. */
export function flowCountIn(answer: Buffer, sequence: number): number | undefined {
  for (const one of answersIn(answer)) {
    if (one.sequence !== sequence) continue;
    const count = find(answer, one.attributes, CTA_STATS_GLOBAL_ENTRIES);
    if (count !== undefined) return uintOf(answer, count);
  }
  return undefined;
}

/** Takes flows of that protocol, but for those that are closed and only remembered. */
export function openFlowOf(protocol: "tcp" | "udp"): DecodeFlow<Flow> {
  const wanted = protocol === "tcp" ? IPPROTO_TCP : IPPROTO_UDP;
  return (bytes, flow) => {
    const tuple = find(bytes, flow, CTA_TUPLE_ORIG);
    const protocol = find(bytes, find(bytes, tuple, CTA_TUPLE_PROTO), CTA_PROTO_NUM);
    if (uintOf(bytes, protocol) !== wanted) return [];
    const tcp = find(bytes, find(bytes, flow, CTA_PROTOINFO), CTA_PROTOINFO_TCP);
    const state = find(bytes, tcp, CTA_PROTOINFO_TCP_STATE);
    if (state !== undefined && !OPEN_STATES.has(uintOf(bytes, state))) return [];
    const request = endsOf(bytes, tuple);
    const reply = endsOf(bytes, find(bytes, flow, CTA_TUPLE_REPLY));
    if (request === undefined || reply === undefined) return [];
    return [{ client: request.from, server: request.to, task: reply.from, replyTo: reply.to }];
  };
}

/** ESTABLISHED, FIN_WAIT, CLOSE_WAIT and LAST_ACK of enum tcp_conntrack: somebody still waits. */
const OPEN_STATES = new Set([3, 4, 5, 6]);

function endsOf(
  bytes: Buffer,
  tuple: Span | undefined,
): { readonly from: Endpoint; readonly to: Endpoint } | undefined {
  const ip = find(bytes, tuple, CTA_TUPLE_IP);
  const ports = find(bytes, tuple, CTA_TUPLE_PROTO);
  const [from, to] = [addressIn(bytes, ip, IP_SOURCE), addressIn(bytes, ip, IP_DESTINATION)];
  const fromPort = find(bytes, ports, CTA_PROTO_SRC_PORT);
  const toPort = find(bytes, ports, CTA_PROTO_DST_PORT);
  if (!from || !to || !fromPort || !toPort) return undefined;
  return {
    from: { address: from, port: uintOf(bytes, fromPort) },
    to: { address: to, port: uintOf(bytes, toPort) },
  };
}
