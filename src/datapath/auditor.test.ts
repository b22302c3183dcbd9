import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeClock } from "../base/clock.ts";
import { silentLogger } from "../base/logger.ts";
import { Auditor } from "./auditor.ts";
import type { Drift } from "./describe.ts";

/** A monitor that prints these lines, then waits to be ended. */
const printing = (...lines: string[]) => [
  process.execPath,
  "-e",
  `console.log(${JSON.stringify(lines.join("\n"))}); setInterval(() => {}, 1e6)`,
];

function auditor(monitor: readonly string[], found: Drift[] = []) {
  const clock = new FakeClock();
  let seen = () => {};
  const audited = () => new Promise<void>((resolve) => (seen = resolve));
  const datapath = {
    audit: async () => {
      seen();
      return found;
    },
  };
  const drifts: Drift[] = [];
  const onDrift = (more: readonly Drift[]) => void drifts.push(...more);
  const made = new Auditor({ datapath, clock, log: silentLogger, onDrift }, { monitor });
  return { made, clock, audited, drifts };
}

describe("the auditor", () => {
  it("audits at once when a table of Weft's is deleted, and tells what was found", async () => {
    const lines = ["delete table inet other", "delete table inet weft"];
    const { made, audited, drifts } = auditor(printing(...lines), [{ text: "x was missing" }]);
    const done = audited();
    made.start();
    await done;
    await made.stop();
    assert.deepEqual(drifts, [{ text: "x was missing" }]);
  });

  it("audits now and then when nothing is told", async () => {
    const { made, clock, audited } = auditor(printing());
    made.start();
    for (let round = 0; round < 2; round++) {
      const done = audited();
      clock.advance(30_000);
      await done;
    }
    await made.stop();
    assert.deepEqual(clock.pending(), []);
  });

  it("starts the monitor again when it ended, and audits for what it missed", async () => {
    const { made, clock, audited } = auditor([process.execPath, "-e", ""]);
    const done = audited();
    made.start();
    while (!clock.pending().includes("nft monitor")) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    clock.advance(1_000);
    await done;
    await made.stop();
  });

  it("goes on without a monitor that cannot be run", async () => {
    const { made, clock, audited } = auditor(["/nonexistent/nft"]);
    made.start();
    const done = audited();
    clock.advance(30_000);
    await done;
    await made.stop();
  });
});
