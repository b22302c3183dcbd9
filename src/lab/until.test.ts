import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "./until.ts";

test("resolves with the first truthy value, over errors and falsy ones", async () => {
  const seen = [undefined, new Error("not there"), 0, "here"];
  const value = await until(
    () => {
      const next = seen.shift();
      if (next instanceof Error) throw next;
      return next;
    },
    { what: "a value", intervalMs: 0 },
  );
  assert.equal(value, "here");
});

test("says at the deadline what it waited for and what it saw last", async () => {
  const options = { what: "three tasks", timeoutMs: 0 };
  await assert.rejects(
    until(() => false, options),
    /timed out after 0 ms waiting for three tasks \(last seen: false\)/,
  );
  const failing = () => Promise.reject(new Error("connection refused"));
  await assert.rejects(until(failing, options), /last error: connection refused/);
});
