import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { PersistentMap } from "./persistent-map.ts";

const operation = fc.record({
  remove: fc.boolean(),
  key: fc.oneof(fc.string({ maxLength: 2 }), fc.nat(300).map(String)),
  value: fc.nat(),
});

test("behaves as a Map, whatever is set and deleted", () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 600 }), (operations) => {
      const model = new Map<string, number>();
      let map = PersistentMap.empty<number>();
      for (const { remove, key, value } of operations) {
        if (remove) model.delete(key);
        else model.set(key, value);
        map = remove ? map.delete(key) : map.set(key, value);
      }
      assert.equal(map.size, model.size);
      for (const [key, value] of model) assert.equal(map.get(key), value);
      const ascending = (a: number, b: number) => a - b;
      assert.deepEqual([...map.values()].sort(ascending), [...model.values()].sort(ascending));
    }),
  );
});

test("an older version never changes", () => {
  let map = PersistentMap.empty<number>();
  for (let i = 0; i < 1_000; i++) map = map.set(`key-${i}`, i);
  const older = map;
  for (let i = 0; i < 1_000; i += 2) map = map.delete(`key-${i}`).set(`key-${i + 1}`, -1);
  assert.equal(older.size, 1_000);
  for (let i = 0; i < 1_000; i++) assert.equal(older.get(`key-${i}`), i);
  assert.equal(map.size, 500);
});
