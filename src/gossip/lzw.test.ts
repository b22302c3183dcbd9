import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { lzwCompress, lzwDecompress } from "./lzw.ts";
import { DecodeError } from "./msgpack.ts";

const LENGTH_MAX = 1 << 20;

test("what is compressed is read back, with every width and several tables", () => {
  const few = fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 30_000, size: "max" });
  const any = fc.uint8Array({ maxLength: 12_000, size: "max" });
  fc.assert(
    fc.property(
      fc.oneof(
        few.map((list) => Uint8Array.from(list)),
        any,
      ),
      (bytes) => {
        assert.deepEqual(lzwDecompress(lzwCompress(bytes), LENGTH_MAX), Buffer.from(bytes));
      },
    ),
    { numRuns: 60 },
  );
  const long = Buffer.alloc(300_000, "abcabcabd");
  assert.deepEqual(lzwDecompress(lzwCompress(long), LENGTH_MAX), long);
});

test("a bomb ends at the bound", () => {
  const bomb = lzwCompress(Buffer.alloc(LENGTH_MAX));
  assert.ok(bomb.length < LENGTH_MAX / 200);
  assert.throws(() => lzwDecompress(bomb, 65_536), /more than 65536 bytes/);
});

test("any bytes are data or a DecodeError", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      try {
        lzwDecompress(bytes, 65_536);
      } catch (error) {
        assert.ok(error instanceof DecodeError);
      }
    }),
    { numRuns: 2_000 },
  );
});
