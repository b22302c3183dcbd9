/**
 * What conntrack has counted of flows, out of its netlink messages: of those that it lists, and of those that it tells of when
 * they end. With each connection there is one to read, so attributes are looked for in place and nothing is copied.
 */
import type { MeshProtocol } from "../view.ts";
import {
  addressIn,
  answersIn,
  CTA_COUNTERS_BYTES,
  CTA_COUNTERS_ORIG,
  CTA_COUNTERS_PACKETS,
  CTA_COUNTERS_REPLY,
  CTA_PROTO_DST_PORT,
  CTA_PROTO_NUM,
  CTA_STATUS,
  CTA_TUPLE_IP,
  CTA_TUPLE_ORIG,
  CTA_TUPLE_PROTO,
  CTA_TUPLE_REPLY,
  find,
  IP_SOURCE,
  IPS_DST_NAT,
  IPS_SEEN_REPLY,
  type Span,
  uintOf,
} from "./ctnetlink.ts";

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

const PROTOCOLS: Readonly<Record<number, MeshProtocol>> = { 6: "tcp", 17: "udp" };

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
  for (const one of answersIn(messages)) {
    if (one.isLast) {
      isLast = true;
    } else {
      const count = flowCount(messages, one.attributes);
      if (count !== undefined) counts.push(count);
    }
  }
  return { counts, isLast };
}

function flowCount(bytes: Buffer, flow: Span): FlowCount | undefined {
  const status = uintOf(bytes, find(bytes, flow, CTA_STATUS));
  if ((status & IPS_DST_NAT) === 0) return undefined;
  const asked = find(bytes, find(bytes, flow, CTA_TUPLE_ORIG), CTA_TUPLE_PROTO);
  const protocol = PROTOCOLS[uintOf(bytes, find(bytes, asked, CTA_PROTO_NUM))];
  const port = uintOf(bytes, find(bytes, asked, CTA_PROTO_DST_PORT));
  const answering = find(bytes, find(bytes, flow, CTA_TUPLE_REPLY), CTA_TUPLE_IP);
  const address = addressIn(bytes, answering, IP_SOURCE);
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
