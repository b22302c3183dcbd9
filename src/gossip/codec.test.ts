import assert from "node:assert/strict";
import { createCipheriv } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { KEYS_MAX, Keyring, SealError } from "./keyring.ts";
import { lzwCompress } from "./lzw.ts";
import { encodeMessage, MEMBER_STATES, type Message, OUR_VERSIONS } from "./messages.ts";
import { DecodeError, packFields } from "./msgpack.ts";
import { decodePacket, encodePacket, PACKET_BYTES_MAX } from "./packet.ts";
import { encodeStream, STREAM_BYTES_MAX, StreamDecoder, type StreamMessage } from "./stream.ts";

interface Recorded {
  readonly over: "packet" | "stream";
  readonly key?: string;
  readonly hex: string;
  readonly value: unknown;
}
/** What three agents of Debian's serf 0.8.2 said to each other: a join, a pause, a crash, a leave. */
const recorded = JSON.parse(
  readFileSync(new URL("recorded/serf.json", import.meta.url), "utf8"),
) as readonly Recorded[];

const hexed = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value, (_key, each: unknown) => {
      const isBuffer =
        typeof each === "object" && each !== null && "type" in each && "data" in each;
      return isBuffer ? Buffer.from(each.data as number[]).toString("hex") : each;
    }),
  );

for (const [index, { over, key, hex, value }] of recorded.entries()) {
  const keyring = key === undefined ? undefined : new Keyring(Buffer.from(key, "hex"));
  const bytes = Buffer.from(hex, "hex");
  test(`recorded ${over} ${index} is read as it was meant${key === undefined ? "" : ", sealed"}`, () => {
    if (over === "packet") assert.deepEqual(hexed(decodePacket(bytes, keyring).messages), value);
    else assert.deepEqual(hexed(new StreamDecoder(keyring).push(bytes)), value);
  });
}

test("accusations, nacks and descriptions are written byte for byte as serf writes them", () => {
  let compared = 0;
  for (const { over, key, hex } of recorded) {
    const bytes = Buffer.from(hex, "hex");
    if (over === "stream" || key !== undefined) continue;
    const crc = bytes[0] === 12;
    const { messages } = decodePacket(bytes, undefined);
    // Its pings name their source and its acks carry coordinates; ours do neither.
    if (messages.some(({ kind }) => ["ping", "pingReq", "ack"].includes(kind))) continue;
    // Which earlier bytes a compressor repeats is its own choice.
    const ours = encodePacket(messages.map(encodeMessage), { keyring: undefined, crc });
    if (bytes[crc ? 5 : 0] !== 9) assert.equal(ours.toString("hex"), hex);
    else assert.deepEqual(decodePacket(ours, undefined).messages, messages);
    compared++;
  }
  assert.ok(compared >= 5);
});

/** Records as literals make them: fast-check may leave out the prototype, and deepEqual sees that. */
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc.record<T>(model, { noNullPrototype: true });
const uint32 = fc.integer({ min: 0, max: 0xffff_ffff });
const name = fc.string({ minLength: 1, maxLength: 40 });
const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map((each) => Buffer.from(each));
const address = record({
  host: fc.oneof(fc.ipV4(), fc.constantFrom("2001:db8::7", "::1", "fd00:1:2:3:4:5:6:7")),
  port: fc.integer({ min: 0, max: 65_535 }),
});
const accusation = { node: name, incarnation: uint32, from: name };
const description = {
  node: name,
  incarnation: uint32,
  address,
  meta: bytes(512),
  versions: fc.constant(OUR_VERSIONS),
};
const message: fc.Arbitrary<Message> = fc.oneof(
  record({ kind: fc.constant("ping" as const), sequence: uint32, node: name }),
  record({
    kind: fc.constant("pingReq" as const),
    sequence: uint32,
    node: name,
    target: address,
    nack: fc.boolean(),
  }),
  record({ kind: fc.constantFrom("ack" as const, "nack" as const), sequence: uint32 }),
  record({
    kind: fc.constant("ack" as const),
    sequence: uint32,
    payload: fc.uint8Array({ minLength: 1, maxLength: 64 }).map((bytes) => Buffer.from(bytes)),
  }),
  record({ kind: fc.constantFrom("suspect" as const, "dead" as const), ...accusation }),
  record({ kind: fc.constant("alive" as const), ...description }),
  record({ kind: fc.constant("user" as const), payload: bytes(200) }),
);
const pushPull: fc.Arbitrary<StreamMessage> = record({
  kind: fc.constant("pushPull" as const),
  join: fc.boolean(),
  members: fc.array(record({ ...description, state: fc.constantFrom(...MEMBER_STATES) })),
  user: bytes(2_000),
});
const keyring = fc.option(
  fc
    .constantFrom(16, 24, 32)
    .chain((length) => fc.uint8Array({ minLength: length, maxLength: length }))
    .map((key) => new Keyring(key)),
  { nil: undefined },
);

test("a packet's messages survive any layers", () => {
  fc.assert(
    fc.property(
      fc.array(message, { minLength: 1, maxLength: 20 }),
      keyring,
      fc.boolean(),
      (messages, ring, crc) => {
        const packet = encodePacket(messages.map(encodeMessage), { keyring: ring, crc });
        assert.deepEqual(decodePacket(packet, ring), { messages, faults: [] });
      },
    ),
    { numRuns: 200 },
  );
});

test("a stream's message survives, in pieces of any size", () => {
  const piece = fc.integer({ min: 1, max: 400 });
  fc.assert(
    fc.property(pushPull, keyring, piece, (exchange, ring, size) => {
      const encoded = encodeStream(exchange, ring);
      const decoder = new StreamDecoder(ring);
      const results: unknown[] = [];
      for (let at = 0; at < encoded.length; at += size) {
        results.push(decoder.push(encoded.subarray(at, at + size)));
      }
      assert.deepEqual(results.pop(), exchange);
      assert.ok(results.every((result) => result === undefined));
    }),
    { numRuns: 100 },
  );
});

test("an uncompressed push/pull is read member by member", () => {
  const plain = Buffer.concat([
    Buffer.of(6),
    packFields({ Join: false, Nodes: 1, UserStateLen: 2 }),
    packFields({
      Addr: Buffer.of(10, 0, 0, 1),
      Incarnation: 7,
      Meta: "",
      Name: "n1",
      Port: 7946,
      State: 2,
      Vsn: OUR_VERSIONS,
    }),
    Buffer.from("hi"),
  ]);
  const decoder = new StreamDecoder(undefined);
  const results = [...plain].map((byte) => decoder.push(Buffer.of(byte)));
  assert.ok(results.slice(0, -1).every((result) => result === undefined));
  const last = results.at(-1);
  assert.ok(last?.kind === "pushPull");
  assert.deepEqual(last.members[0]?.address, { host: "10.0.0.1", port: 7946 });
  assert.equal(last.members[0]?.state, "dead");
  assert.equal(last.user.toString(), "hi");
});

test("random, cut off and changed bytes are messages or a DecodeError", () => {
  const guarded = (read: () => unknown) => {
    try {
      read();
    } catch (error) {
      assert.ok(error instanceof DecodeError, String(error));
    }
  };
  const changed = record({ at: fc.nat(400), to: fc.nat(255), cut: fc.nat(400) });
  fc.assert(
    fc.property(fc.nat(recorded.length - 1), changed, (index, { at, to, cut }) => {
      const sample = Buffer.from(recorded[index]?.hex ?? "", "hex");
      sample[at % sample.length] = to;
      guarded(() => decodePacket(sample.subarray(0, cut), undefined));
      guarded(() => new StreamDecoder(undefined).push(sample));
    }),
    { numRuns: 2_000 },
  );
  const ring = new Keyring(Buffer.alloc(16));
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (random) => {
      guarded(() => decodePacket(Buffer.from(random), undefined));
      guarded(() => decodePacket(Buffer.from(random), ring));
      guarded(() => new StreamDecoder(undefined).push(Buffer.from(random)));
      guarded(() => new StreamDecoder(ring).push(Buffer.from(random)));
    }),
    { numRuns: 2_000 },
  );
});

test("bombs, lies about lengths and layers within layers are refused", () => {
  const squeezed = (body: Buffer) =>
    Buffer.concat([Buffer.of(9), packFields({ Algo: 0, Buf: lzwCompress(body) })]);
  const packets: Readonly<Record<string, Buffer>> = {
    "a bomb": squeezed(Buffer.alloc(1_000_000)),
    "a compressed compressed": squeezed(squeezed(encodeMessage({ kind: "nack", sequence: 1 }))),
    "a compound without its lengths": Buffer.of(7, 255, 0, 1),
    "a wrong checksum": Buffer.of(12, 1, 2, 3, 4, 11, 0x80),
    "an empty one": Buffer.alloc(0),
  };
  for (const [what, packet] of Object.entries(packets)) {
    assert.throws(() => decodePacket(packet, undefined), DecodeError, what);
  }
  const nested = Buffer.from([7, 1, 0, 4, 7, 1, 0, 0]);
  assert.deepEqual(decodePacket(nested, undefined).messages, []);
  assert.equal(decodePacket(nested, undefined).faults.length, 1);
  const head = packFields({ Join: true, Nodes: 4_000_000_000, UserStateLen: 0 });
  const streams: Readonly<Record<string, Buffer>> = {
    "too many members": Buffer.concat([Buffer.of(6), head]),
    "too many bytes": Buffer.alloc(STREAM_BYTES_MAX + 6, 6),
    "a bomb": squeezed(Buffer.alloc(STREAM_BYTES_MAX + 1)),
    "a compressed message that is cut off": squeezed(Buffer.of(6, 0x83)),
  };
  for (const [what, stream] of Object.entries(streams)) {
    assert.throws(() => new StreamDecoder(undefined).push(stream), DecodeError, what);
  }
  const ring = new Keyring(Buffer.alloc(16));
  const frame = Buffer.of(10, 0xff, 0xff, 0xff, 0xff);
  assert.throws(() => new StreamDecoder(ring).push(frame), /more than/);
});

test("a full packet stays within the size of a datagram", () => {
  const meta = Buffer.from(Array.from({ length: 512 }, (_, index) => (index * 7919) & 0xff));
  const alive: Message = {
    kind: "alive",
    node: "n".repeat(25),
    incarnation: 1,
    address: { host: "2001:db8::1", port: 7946 },
    meta,
    versions: OUR_VERSIONS,
  };
  const packet = encodePacket([encodeMessage(alive), encodeMessage(alive)], {
    keyring: new Keyring(Buffer.alloc(16)),
    crc: true,
  });
  assert.ok(packet.length <= PACKET_BYTES_MAX);
});

test("keys: a new one opens, then seals, then the old one is gone; never more than three", () => {
  const [a, b, c, d] = ["a", "b", "c", "d"].map((letter) => Buffer.alloc(16, letter));
  assert.ok(a && b && c && d);
  const one = new Keyring(a);
  const two = new Keyring(a);
  two.install(b);
  assert.equal(
    one.open(two.seal(Buffer.from("x"))).toString(),
    "x",
    "still sealed with the old key",
  );
  one.install(b);
  two.use(b);
  assert.equal(one.open(two.seal(Buffer.from("x"))).toString(), "x");
  assert.throws(() => two.remove(b), /in use/);
  two.remove(a);
  assert.throws(() => two.open(one.seal(Buffer.from("x"))), SealError);
  assert.throws(() => two.use(d), /not installed/);
  assert.throws(() => two.install(Buffer.alloc(15)), /16, 24 or 32 bytes/);
  for (const key of [c, d]) one.install(key);
  assert.deepEqual(one.keys, [a, d, c], "the oldest that is not in use was dropped");
  assert.equal(one.keys.length, KEYS_MAX);
});

test("the older, padded form of a seal is read, and a wrong padding is refused", () => {
  const key = Buffer.alloc(16, 7);
  const seal = (plain: Buffer) => {
    const nonce = Buffer.alloc(12, 1);
    const cipher = createCipheriv("aes-128-gcm", key, nonce);
    const text = Buffer.concat([cipher.update(plain), cipher.final()]);
    return Buffer.concat([Buffer.of(0), nonce, text, cipher.getAuthTag()]);
  };
  const nack = encodeMessage({ kind: "nack", sequence: 5 });
  const count = 16 - (nack.length % 16);
  const ring = new Keyring(key);
  const padded = Buffer.concat([nack, Buffer.alloc(count, count)]);
  assert.deepEqual(decodePacket(seal(padded), ring).messages, [{ kind: "nack", sequence: 5 }]);
  assert.throws(() => ring.open(seal(Buffer.alloc(16, 17))), SealError);
  assert.throws(() => ring.open(seal(Buffer.alloc(0))), SealError);
});
