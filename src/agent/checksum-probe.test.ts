import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock, systemClock } from "../base/clock.ts";
import { checksumsArrive } from "./checksum-probe.ts";

/** Whether those with and without checksums are refused, time after time. */
const CASES = [
  ["all is well", [true], [], true],
  ["a refusal was lost", [false, true], [true], true],
  ["only those without arrive", [false, false], [true], false],
  ["a firewall is silent", [false], [false], undefined],
] as const;

for (const [what, withChecksum, without, expected] of CASES) {
  test(`checksums, where ${what}: ${expected}`, async () => {
    const clock = new FakeClock();
    const refusals = { with: [...withChecksum] as boolean[], without: [...without] as boolean[] };
    const found = checksumsArrive("10.255.0.3", clock, undefined, async (_address, checksum) => {
      queueMicrotask(() => queueMicrotask(() => queueMicrotask(() => clock.advance(2_000))));
      const refused = (checksum ? refusals.with : refusals.without).shift();
      assert.ok(refused !== undefined, "it is asked no more than that");
      return refused;
    });
    assert.equal(await found, expected);
    assert.deepEqual(refusals, { with: [], without: [] });
  });
}

test("this host's own kernel refuses a datagram to a port that nobody has", async () => {
  // The clock's own timers keep no process alive.
  const alive = setInterval(() => {}, 1_000);
  assert.equal(await checksumsArrive("127.0.0.1", systemClock), true);
  clearInterval(alive);
});
