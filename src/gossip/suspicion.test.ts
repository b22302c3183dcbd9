import assert from "node:assert/strict";
import { test } from "node:test";
import { confirm, remainingSuspicionTime, type Suspicion } from "./suspicion.ts";

const raised: Suspicion = {
  startedAt: 1_000,
  from: "n1",
  confirmations: [],
  wanted: 3,
  timeoutMsMin: 2_000,
  timeoutMsMax: 30_000,
  told: false,
};

test("confirmations shorten the time by their logarithm, down to the least", () => {
  const rows = [
    [0, 0, 30_000],
    [1, 2_000, 14_000],
    [2, 3_000, 4_810],
    [3, 4_000, -2_000],
    [4, 4_000, -2_000],
  ] as const;
  for (const [count, elapsed, expected] of rows) {
    const confirmations = Array.from({ length: count }, (_, index) => `c${index}`);
    const left = remainingSuspicionTime({ ...raised, confirmations }, 1_000 + elapsed);
    assert.equal(Math.floor(left), expected);
  }
});

test("where nobody could confirm, the least time holds", () => {
  assert.equal(remainingSuspicionTime({ ...raised, wanted: 0 }, 1_500), 1_500);
});

test("a confirmation is another member's, told once, and only while it is wanted", () => {
  assert.equal(confirm(raised, "n1"), undefined);
  const once = confirm(raised, "n2");
  assert.deepEqual(once?.confirmations, ["n2"]);
  assert.ok(once);
  assert.equal(confirm(once, "n2"), undefined);
  assert.equal(confirm({ ...raised, wanted: 0 }, "n2"), undefined);
});
