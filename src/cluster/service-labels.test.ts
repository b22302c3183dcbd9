import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { validateServiceLabels, withServiceLabels } from "./service-labels.ts";

describe("a service's labels for Weft", () => {
  for (const value of ["30s", "2m", "1m30s", "0", "0s", "1.5h"]) {
    it(`take ${value} as the drain time`, () => {
      validateServiceLabels({ "weft.drain.timeout": value, other: "weft" });
    });
  }

  for (const [key, value, said] of [
    ["weft.drain.timeout", "abc", /"abc" is no duration: expected one such as 30s/],
    ["weft.drain.timeout", "", /"" is no duration/],
    ["weft.drain.timeout", "30", /"30" is no duration/],
    ["weft.drain.timeout", "-5s", /"-5s" is no duration/],
    [
      "weft.drain.time",
      "30s",
      /unknown label weft\.drain\.time: .* there are weft\.drain\.timeout/,
    ],
    ["weft.publish.alow", "10.0.0.0/8", /unknown label weft\.publish\.alow/],
    ["weft.publish.allow", "eth0", /"eth0" is neither/],
  ] as const) {
    it(`are refused when wrong: ${key}=${value}`, () => {
      assert.throws(() => validateServiceLabels({ [key]: value }), { message: said });
    });
  }

  it("count for tasks as they are now; the others as they were when the task was made", () => {
    const task = { tier: "old", "weft.drain.timeout": "1s" };
    const service = { tier: "new", "weft.publish.allow": "10.0.0.0/8" };
    assert.deepEqual(withServiceLabels(task, service), {
      tier: "old",
      "weft.publish.allow": "10.0.0.0/8",
    });
  });
});
