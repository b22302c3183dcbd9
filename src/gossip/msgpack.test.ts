import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DecodeError, type Packed, PackedReader, pack, packFields, ShortInput } from "./msgpack.ts";

const packed = fc.letrec<{ value: Packed }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", maxDepth: 4 },
    fc.constant(null),
    fc.boolean(),
    fc.integer({ min: -0x8000_0000, max: 0xffff_ffff }),
    fc.maxSafeInteger(),
    fc.bigInt({ min: 2n ** 60n, max: 2n ** 64n - 1n }),
    fc.double({ noNaN: true }).filter((value) => !Number.isInteger(value)),
    fc.uint8Array({ maxLength: 70_000, size: "large" }),
    fc.array(tie("value"), { maxLength: 20 }),
    fc
      .uniqueArray(fc.string(), { maxLength: 20 })
      .chain((keys) =>
        fc
          .array(tie("value"), { minLength: keys.length, maxLength: keys.length })
          .map((values) => new Map(keys.map((key, index) => [key, values[index] ?? null]))),
      ),
  ),
}));

const plain = (value: Packed): unknown => {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (value instanceof Map) return new Map([...value].map(([key, each]) => [key, plain(each)]));
  return Array.isArray(value) ? value.map(plain) : value;
};

test("what is packed is read back", () => {
  fc.assert(
    fc.property(packed.value, (value) => {
      assert.deepEqual(plain(new PackedReader(pack(value)).value()), plain(value));
    }),
    { numRuns: 200 },
  );
});

test("integers take the shortest form, strings and bytes are one family", () => {
  const rows: [Packed | string, string][] = [
    [127, "7f"],
    [128, "cc80"],
    [256, "cd0100"],
    [65_536, "ce00010000"],
    [-1, "ff"],
    ["ab", "a26162"],
    [Buffer.from("ab"), "a26162"],
    [Buffer.alloc(32), `da0020${"00".repeat(32)}`],
  ];
  for (const [value, hex] of rows) assert.equal(pack(value).toString("hex"), hex);
  assert.equal(packFields({ B: 1, A: "x", C: undefined }).toString("hex"), "82a141a178a14201");
});

test("later forms of strings and binaries are read as raws", () => {
  for (const hex of ["c4026162", "c500026162", "c6000000026162", "d9026162"]) {
    const value = new PackedReader(Buffer.from(hex, "hex")).value();
    assert.equal(plain(value), "6162");
  }
});

test("a count without its elements is short, whatever it promises", () => {
  for (const hex of ["dd7fffffff", "dfffffffff", "dbffffffff00", "93", "81a1"]) {
    assert.throws(() => new PackedReader(Buffer.from(hex, "hex")).value(), ShortInput);
  }
});

test("depth has an end, and so has the alphabet", () => {
  assert.throws(() => new PackedReader(Buffer.alloc(100, 0x91)).value(), DecodeError);
  assert.throws(() => new PackedReader(Buffer.of(0xc1)).value(), DecodeError);
});

test("any bytes are a value or a DecodeError", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        new PackedReader(bytes).value();
      } catch (error) {
        assert.ok(error instanceof DecodeError);
      }
    }),
    { numRuns: 2_000 },
  );
});
