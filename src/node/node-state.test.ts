import assert from "node:assert/strict";
import { test } from "node:test";
import { rememberedManagers } from "./node-state.ts";

test("the address that a node joined by is kept behind those that managers advertise, within a bound", () => {
  const joined = ["203.0.113.5:2377"];
  const told = rememberedManagers(["10.0.0.1:2377"], joined);
  assert.deepEqual(told, ["10.0.0.1:2377", "203.0.113.5:2377"]);
  assert.deepEqual(rememberedManagers(["10.0.0.1:2377"], told), told);
  const many = Array.from({ length: 40 }, (_, index) => `10.0.1.${index}:2377`);
  assert.deepEqual(rememberedManagers(["10.0.0.1:2377"], many).slice(0, 2), [
    "10.0.0.1:2377",
    "10.0.1.0:2377",
  ]);
  assert.equal(rememberedManagers([], many).length, 16);
});
