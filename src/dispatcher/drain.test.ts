import assert from "node:assert/strict";
import { test } from "node:test";
import type { TaskID } from "../base/ids.ts";
import {
  HOLD_MS_MAX,
  type HoldFacts,
  type Holds,
  heldTasks,
  nextHoldDeadline,
  planHolds,
} from "./drain.ts";

const T1 = "t1" as TaskID;
const T2 = "t2" as TaskID;
const NONE: Holds = new Map();

function facts(init: Partial<HoldFacts>): HoldFacts {
  return { stopping: [T1], revision: 10, applied: [9, 9], now: 1_000, ...init };
}

test("a task is held until every live session has confirmed a mesh without it", () => {
  const first = planHolds(NONE, facts({}));
  assert.deepEqual([...heldTasks(first)], [T1]);
  const one = planHolds(first, facts({ applied: [10, 9], now: 1_100 }));
  assert.deepEqual([...heldTasks(one)], [T1]);
  const both = planHolds(one, facts({ applied: [10, 11], now: 1_200 }));
  assert.deepEqual([...heldTasks(both)], []);
  assert.equal(nextHoldDeadline(both), undefined);
});

test("later changes of the mesh do not make it wait for more", () => {
  const first = planHolds(NONE, facts({}));
  const later = planHolds(first, facts({ revision: 15, applied: [10, 10] }));
  assert.deepEqual([...heldTasks(later)], []);
});

test("a dead session is not asked, and without any there is nobody to wait for", () => {
  const first = planHolds(NONE, facts({ applied: [10, 3] }));
  assert.equal(heldTasks(first).size, 1);
  assert.equal(heldTasks(planHolds(first, facts({ applied: [10] }))).size, 0);
  assert.equal(heldTasks(planHolds(NONE, facts({ applied: [] }))).size, 0);
});

test("the wait is bounded", () => {
  const first = planHolds(NONE, facts({}));
  assert.equal(nextHoldDeadline(first), 1_000 + HOLD_MS_MAX);
  const before = planHolds(first, facts({ now: 999 + HOLD_MS_MAX }));
  assert.equal(heldTasks(before).size, 1);
  const after = planHolds(before, facts({ now: 1_000 + HOLD_MS_MAX }));
  assert.equal(heldTasks(after).size, 0);
});

test("who was let go is not called back by a session that begins", () => {
  const released = planHolds(planHolds(NONE, facts({})), facts({ applied: [10, 10] }));
  const again = planHolds(released, facts({ applied: [10, 10, 0] }));
  assert.equal(heldTasks(again).size, 0);
});

test("each task waits by itself, and is forgotten when it has ended", () => {
  const first = planHolds(NONE, facts({}));
  const both = planHolds(first, facts({ stopping: [T1, T2], revision: 20, applied: [10, 10] }));
  assert.deepEqual([...heldTasks(both)], [T2]);
  const ended = planHolds(both, facts({ stopping: [T2], revision: 20, applied: [19, 19] }));
  assert.deepEqual([...ended.keys()], [T2]);
});
