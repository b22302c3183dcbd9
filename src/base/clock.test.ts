import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock, TIMEOUT_MS_MAX } from "./clock.ts";

test("a timer may be longer than Node.js' own can be", (t) => {
  const waits: { readonly ms: number; readonly fire: () => void }[] = [];
  t.mock.method(globalThis, "setTimeout", (fire: () => void, ms: number) => {
    waits.push({ ms, fire });
    return { unref() {} };
  });
  let fired = 0;
  systemClock.timer("restart delay", TIMEOUT_MS_MAX + 5, () => fired++);
  assert.deepEqual(
    waits.map(({ ms }) => ms),
    [TIMEOUT_MS_MAX],
  );
  waits[0]?.fire();
  assert.equal(waits[1]?.ms, 5);
  assert.equal(fired, 0);
  waits[1]?.fire();
  assert.equal(fired, 1);
  assert.equal(waits.length, 2);
});
