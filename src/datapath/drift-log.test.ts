import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeClock } from "../base/clock.ts";
import { createLogger } from "../base/logger.ts";
import { DriftLog } from "./drift-log.ts";

function driftLog() {
  const clock = new FakeClock();
  const lines: string[] = [];
  const log = createLogger({ write: (line) => void lines.push(line) });
  return { drifts: new DriftLog({ clock, log }), clock, lines };
}

describe("the log of drift", () => {
  it("says each thing once a minute, and how often it had been undone meanwhile", () => {
    const { drifts, clock, lines } = driftLog();
    for (let time = 0; time < 5; time++) drifts.add([{ text: "x was missing" }]);
    assert.equal(lines.length, 1);
    clock.advance(60_000);
    drifts.add([{ text: "x was missing" }]);
    assert.equal(lines.length, 2);
    assert.match(lines[1] ?? "", /timesSinceLastSaid=4/);
  });

  it("is short, however much there is", () => {
    const { drifts, lines } = driftLog();
    drifts.add(Array.from({ length: 1000 }, (_, index) => ({ text: `route ${index}` })));
    assert.equal(lines.length, 21);
    assert.match(lines.at(-1) ?? "", /more=980/);
  });
});
