import assert from "node:assert/strict";
import { it } from "node:test";
import { FakeClock } from "../base/clock.ts";
import { seededRandom } from "../base/random.ts";
import { SessionRetry } from "./session-retry.ts";

const SLOWEST = { ...seededRandom(1), next: () => 1 };

function retry(random = SLOWEST) {
  const clock = new FakeClock();
  let tries = 0;
  const made = new SessionRetry({ clock, random, onDue: () => void tries++ });
  return { clock, retry: made, tries: () => tries };
}

it("waits longer after each failure, to a bound, and from the beginning once one has lasted", () => {
  const { clock, retry: tested, tries } = retry();
  const fail = () => {
    const ms = tested.fail();
    clock.advance(ms);
    return ms;
  };
  assert.deepEqual(
    Array.from({ length: 8 }, fail),
    [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000],
  );
  assert.equal(tries(), 8);
  tested.forgive();
  assert.equal(fail(), 100);
});

it("tries soon when it is told to, and once; what is due sooner stays so", () => {
  const { clock, retry: tested, tries } = retry();
  for (let failures = 0; failures < 8; failures++) tested.fail();
  clock.advance(5_000);
  assert.equal(tries(), 1, "one is due at a time");
  tested.fail();
  tested.hasten(30);
  tested.hasten(3_000);
  clock.advance(30);
  assert.equal(tries(), 2);
  clock.advance(60_000);
  assert.equal(tries(), 2);
});

it("spreads the nodes that are told at once over the time that they have", () => {
  const random = seededRandom(7);
  const delays = Array.from({ length: 1_000 }, () => {
    const { clock, retry: tested, tries } = retry(random);
    tested.hasten(2_000);
    let ms = 0;
    while (tries() === 0) {
      clock.advance(100);
      ms += 100;
    }
    return ms;
  });
  assert.ok(Math.max(...delays) <= 2_000);
  for (let from = 0; from < 2_000; from += 500) {
    const count = delays.filter((ms) => ms > from && ms <= from + 500).length;
    assert.ok(count > 150 && count < 350, `${count} of 1000 within ${from} to ${from + 500} ms`);
  }
});

it("is over when it is cancelled", () => {
  const { clock, retry: tested, tries } = retry();
  tested.fail();
  tested.cancel();
  clock.advance(60_000);
  assert.equal(tries(), 0);
});
