import assert from "node:assert/strict";
import { test } from "node:test";
import { addressBytes } from "../../base/ip-address.ts";
import { AF_INET, AF_INET6 } from "../../base/sockets.ts";
import {
  attribute,
  CTA_ID,
  CTA_IP_V4_DST,
  CTA_IP_V4_SRC,
  CTA_IP_V6_DST,
  CTA_IP_V6_SRC,
  CTA_PROTO_DST_PORT,
  CTA_PROTO_NUM,
  CTA_PROTO_SRC_PORT,
  CTA_PROTOINFO,
  CTA_PROTOINFO_TCP,
  CTA_PROTOINFO_TCP_STATE,
  CTA_STATUS,
  CTA_TUPLE_IP,
  CTA_TUPLE_ORIG,
  CTA_TUPLE_PROTO,
  CTA_TUPLE_REPLY,
  IPPROTO_TCP,
  IPPROTO_UDP,
  IPS_DST_NAT,
  message,
  nested,
  networkU32,
  u8,
} from "./ctnetlink.ts";
import { listedFlow, listPartOf, openFlowOf } from "./listed-flows.ts";

const ESTABLISHED = 3;
const TIME_WAIT = 7;
const SEQUENCE = 7;
const ID = 77;

type Ends = readonly [from: string, fromPort: number, to: string, toPort: number];

function tuple(type: number, [from, fromPort, to, toPort]: Ends, protocol: number): Buffer {
  const bytes = (address: string) => addressBytes(address) ?? assert.fail(address);
  const is4 = bytes(from).length === 4;
  const port = (at: number, value: number) => attribute(at, Buffer.from([value >> 8, value & 255]));
  return nested(type, [
    nested(CTA_TUPLE_IP, [
      attribute(is4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, bytes(from)),
      attribute(is4 ? CTA_IP_V4_DST : CTA_IP_V6_DST, bytes(to)),
    ]),
    nested(CTA_TUPLE_PROTO, [
      u8(CTA_PROTO_NUM, protocol),
      port(CTA_PROTO_SRC_PORT, fromPort),
      port(CTA_PROTO_DST_PORT, toPort),
    ]),
  ]);
}

function flow(request: Ends, reply: Ends, state?: number, sequence = SEQUENCE): Buffer {
  const tcp = (value: number) =>
    nested(CTA_PROTOINFO, [nested(CTA_PROTOINFO_TCP, [u8(CTA_PROTOINFO_TCP_STATE, value)])]);
  const protocol = state === undefined ? IPPROTO_UDP : IPPROTO_TCP;
  const attributes = [
    tuple(CTA_TUPLE_ORIG, request, protocol),
    tuple(CTA_TUPLE_REPLY, reply, protocol),
    networkU32(CTA_STATUS, IPS_DST_NAT),
    networkU32(CTA_ID, ID),
  ];
  if (state !== undefined) attributes.push(tcp(state));
  return message(0, 0, sequence, attributes, AF_INET);
}

const ASKED = ["192.168.99.200", 40_000, "192.168.99.100", 8_080] as const;
const ANSWERED = ["10.255.0.9", 80, "192.168.99.200", 40_000] as const;
const ASKED6 = ["2001:db8::c8", 40_000, "2001:db8::64", 5_353] as const;
const ANSWERED6 = ["fd12::aff:9", 53, "fd12::aff:2", 61_000] as const;

test("a flow is what its client sees and what its task does", () => {
  const answer = Buffer.concat([flow(ASKED, ANSWERED, ESTABLISHED), flow(ASKED6, ANSWERED6)]);
  const flowsOf = (protocol: "tcp" | "udp") => listPartOf(answer, SEQUENCE, openFlowOf(protocol));
  assert.equal(flowsOf("tcp").isLast, false);
  assert.deepEqual(flowsOf("tcp").flows, [
    {
      client: { address: "192.168.99.200", port: 40_000 },
      server: { address: "192.168.99.100", port: 8_080 },
      task: { address: "10.255.0.9", port: 80 },
      replyTo: { address: "192.168.99.200", port: 40_000 },
    },
  ]);
  assert.deepEqual(flowsOf("udp").flows, [
    {
      client: { address: "2001:db8::c8", port: 40_000 },
      server: { address: "2001:db8::64", port: 5_353 },
      task: { address: "fd12::aff:9", port: 53 },
      replyTo: { address: "fd12::aff:2", port: 61_000 },
    },
  ]);
});

test("connections that are closed and only remembered are none, and answers to other lists are not read", () => {
  const others = [flow(ASKED, ANSWERED, TIME_WAIT), flow(ASKED, ANSWERED, ESTABLISHED, 6)];
  assert.deepEqual(listPartOf(Buffer.concat(others), SEQUENCE, openFlowOf("tcp")).flows, []);
});

test("a listed flow has its request's tuple as the kernel gave it, to be deleted by", () => {
  const answer = flow(ASKED6, ANSWERED6);
  const [found] = listPartOf(answer, SEQUENCE, listedFlow).flows;
  assert.equal(found?.answersFrom, "fd12::aff:9");
  const { family, protocol, askedPort, status, id } = found;
  assert.deepEqual(
    [family, protocol, askedPort, status],
    [AF_INET6, IPPROTO_UDP, 5_353, IPS_DST_NAT],
  );
  assert.equal(id.readUInt32BE(), ID);
  const asked = tuple(CTA_TUPLE_ORIG, ASKED6, IPPROTO_UDP);
  assert.deepEqual(nested(CTA_TUPLE_ORIG, [found.tuple]), asked);
});

test("what is cut short says nothing", () => {
  const whole = flow(ASKED, ANSWERED, ESTABLISHED);
  for (let length = 0; length < whole.length; length++) {
    assert.deepEqual(listPartOf(whole.subarray(0, length), SEQUENCE, openFlowOf("tcp")).flows, []);
  }
});
