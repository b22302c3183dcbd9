import assert from "node:assert/strict";
import { test } from "node:test";
import { GossipLag } from "./gossip-lag.ts";

const SAME = { lag: 0, agrees: true };
const DIFFERENT = { lag: 0, agrees: false };
const BEHIND = { lag: 3, agrees: false };

test("news on its way is no difference; one with a node that lasts is repaired, at most once a second", () => {
  const lag = new GossipLag();
  assert.equal(lag.note("n2", BEHIND, 0), false);
  assert.equal(lag.note("n2", BEHIND, 1_999), false);
  assert.equal(lag.note("n2", BEHIND, 2_000), true);
  assert.equal(lag.note("n2", BEHIND, 2_900), false);
  assert.equal(lag.note("n2", BEHIND, 3_000), true);
  assert.deepEqual(lag.of("n2"), { ...BEHIND, at: 3_000, differsSince: 0 });
  assert.equal(lag.note("n2", SAME, 3_500), false);
  assert.equal(lag.of("n2")?.differsSince, undefined);
});

test("who differs from everybody it meets is repaired though it meets nobody twice", () => {
  const lag = new GossipLag();
  const due = Array.from({ length: 8 }, (_, index) =>
    lag.note(`n${index}`, DIFFERENT, index * 250),
  );
  assert.deepEqual(due, [false, false, false, false, false, false, false, true]);
  lag.keep(new Set(["n1"]));
  assert.equal(lag.of("n2"), undefined);
  assert.ok(lag.of("n1"));
});
