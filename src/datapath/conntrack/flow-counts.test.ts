import assert from "node:assert/strict";
import { endianness } from "node:os";
import { test } from "node:test";
import { addressBytes } from "../../base/ip-address.ts";
import { flowCountsOf } from "./flow-counts.ts";

const IS_LITTLE = endianness() === "LE";
const DNAT_ANSWERED = 0x22;
const END = 3;

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  return (IS_LITTLE ? bytes.writeUInt16LE(value) : bytes.writeUInt16BE(value), bytes);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  return (IS_LITTLE ? bytes.writeUInt32LE(value) : bytes.writeUInt32BE(value), bytes);
}

function attribute(type: number, ...values: readonly Buffer[]): Buffer {
  const value = Buffer.concat(values);
  const padding = Buffer.alloc((4 - (value.length % 4)) % 4);
  return Buffer.concat([u16(4 + value.length), u16(type), value, padding]);
}

function message(type: number, ...attributes: readonly Buffer[]): Buffer {
  const body = Buffer.concat([Buffer.alloc(4), ...attributes]);
  return Buffer.concat([u32(16 + body.length), u16(type), u16(0), u32(1), u32(0), body]);
}

interface Flow {
  readonly protocol?: number;
  readonly port?: number;
  readonly task?: string;
  readonly status?: number;
  readonly counters?: readonly [received: bigint, sent: bigint];
}

function flow({ protocol = 6, port = 8080, task = "10.255.0.9", ...rest }: Flow = {}): Buffer {
  const { status = DNAT_ANSWERED, counters } = rest;
  const nested = (type: number, ...values: Buffer[]) => attribute(type | 0x8000, ...values);
  const proto = (at: number) =>
    nested(
      2,
      attribute(1, Buffer.from([protocol])),
      attribute(at, Buffer.from([port >> 8, port & 0xff])),
    );
  const bytes = (n: bigint) => {
    const value = Buffer.alloc(8);
    value.writeBigUInt64BE(n);
    return value;
  };
  const count = (type: number, n: bigint) =>
    nested(type, attribute(1, bytes(n / 100n)), attribute(2, bytes(n)));
  const from = addressBytes(task) ?? assert.fail(task);
  return message(
    0x100,
    nested(1, nested(1, attribute(1, Buffer.from([192, 168, 99, 1]))), proto(3)),
    nested(2, nested(1, attribute(from.length === 4 ? 1 : 3, from)), proto(2)),
    attribute(3, Buffer.from([0, 0, status >> 8, status & 0xff])),
    ...(counters === undefined ? [] : [count(9, counters[0]), count(10, counters[1])]),
  );
}

test("a flow is known by the port that was asked and the task that answers", () => {
  const six = { protocol: 17, port: 53, task: "fd12::aff:9", counters: [300n, 0n] } as const;
  const asked = { ...six, status: 0x20 };
  const { counts, isLast } = flowCountsOf(
    Buffer.concat([flow({ counters: [5_000_000_000n, 70n] }), flow(asked), message(END)]),
  );
  assert.equal(isLast, true);
  assert.deepEqual(counts, [
    {
      ...{ key: "tcp 8080 10.255.0.9", isAnswered: true },
      ...{ receivedPackets: 50_000_000, receivedBytes: 5_000_000_000 },
      ...{ sentPackets: 0, sentBytes: 70 },
    },
    {
      ...{ key: "udp 53 fd12::aff:9", isAnswered: false },
      ...{ receivedPackets: 3, receivedBytes: 300, sentPackets: 0, sentBytes: 0 },
    },
  ]);
});

test("flows that were led nowhere, of other protocols, or without counters", () => {
  const others = [flow({ status: 0x02 }), flow({ protocol: 132 }), flow({ protocol: 1 })];
  const { counts, isLast } = flowCountsOf(Buffer.concat([...others, flow()]));
  assert.equal(isLast, false);
  assert.deepEqual(
    counts.map(({ key, receivedBytes }) => [key, receivedBytes]),
    [["tcp 8080 10.255.0.9", 0]],
  );
});

test("what is cut short, or is no message, says nothing and ends", () => {
  const whole = Buffer.concat([flow(), flow({ port: 9 })]);
  for (let length = 0; length <= whole.length; length++) {
    const { counts } = flowCountsOf(whole.subarray(0, length));
    assert.equal(counts.length, Math.floor(length / (whole.length / 2)));
  }
  for (let at = 0; at < whole.length; at++) {
    const damaged = Buffer.from(whole);
    damaged[at] = 0xff;
    flowCountsOf(damaged);
  }
});
