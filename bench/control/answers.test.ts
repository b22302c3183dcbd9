import assert from "node:assert/strict";
import { test } from "node:test";
import { allAnswering, harmSince, lastAnswerBy, type Sample } from "./answers.ts";

const samples: readonly Sample[] = [
  { at: 900, tookMs: 1, target: "n1", error: "ECONNREFUSED" },
  { at: 1_010, tookMs: 2, target: "n1", task: "a" },
  { at: 1_020, tookMs: 1_003, target: "n2", task: "b" },
  { at: 1_040, tookMs: 3, target: "n1", error: "ECONNREFUSED" },
  { at: 1_050, tookMs: 2, target: "n2", task: "b" },
];

test("harm is what failed or was delayed since the event, not before", () => {
  assert.deepEqual(harmSince(samples, 1_000), {
    lastMs: 40,
    failed: 1,
    delayed: 1,
    slowestMs: 1_003,
    requests: 4,
  });
  assert.equal(harmSince(samples, 1_045).lastMs, 0);
});

test("a task that is gone got its last connection then", () => {
  assert.equal(lastAnswerBy(samples, new Set(["b"]), 1_000), 50);
  assert.equal(lastAnswerBy(samples, new Set(["c"]), 1_000), 0);
});

test("all answer when the slowest has", () => {
  assert.equal(allAnswering(samples, ["n1", "n2"], 1_000), 52);
  assert.equal(allAnswering(samples, ["n1"], 1_000), 12);
  assert.equal(allAnswering(samples, ["n1", "n3"], 1_000), undefined);
});
