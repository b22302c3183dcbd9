import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { FakeClock } from "../base/clock.ts";
import { silentLogger } from "../base/logger.ts";
import { GossipKeys } from "./gossip-keys.ts";

const HOUR_MS = 3_600_000;

function manager(kept = new Map<string, string>()) {
  const clock = new FakeClock();
  const told: string[][] = [];
  const secrets = {
    get: (name: string) => kept.get(name),
    set: async (name: string, value: string) => void kept.set(name, value),
  };
  const onKeys = (keys: readonly Uint8Array[]) =>
    void told.push(keys.map((key) => Buffer.from(key).toString("hex")));
  const keys = new GossipKeys({ secrets, clock, log: silentLogger, onKeys });
  const pass = async (ms: number) => {
    clock.advance(ms);
    await setImmediate();
  };
  return { keys, told, pass, kept };
}

test("a new key opens everywhere for a minute before it seals, and the ring holds three", async () => {
  const { keys, told, pass } = manager();
  await keys.start();
  for (let rotation = 0; rotation < 3; rotation++) {
    await pass(12 * HOUR_MS);
    await pass(60_000);
  }
  await keys.stop();
  const [first = "", second = "", third = "", fourth = ""] = [0, 2, 4, 6].map(
    (at) => told[at]?.[0],
  );
  assert.equal(new Set([first, second, third, fourth]).size, 4);
  assert.equal(Buffer.from(first, "hex").length, 16);
  assert.deepEqual(told, [
    [first],
    [first, second],
    [second, first],
    [second, third, first],
    [third, second, first],
    [third, fourth, second],
    [fourth, third, second],
  ]);
});

test("a manager that starts again goes on with the keys, also in the middle of a change", async () => {
  const before = manager();
  await before.keys.start();
  await before.pass(12 * HOUR_MS);
  await before.keys.stop();
  const after = manager(before.kept);
  await after.keys.start();
  assert.deepEqual(after.told, [before.told.at(-1)]);
  await after.pass(12 * HOUR_MS + 60_000);
  assert.deepEqual(after.told.at(-1), before.told.at(-1)?.toReversed());
  await after.keys.stop();
});

test("a change that cannot be written is not told, and tried again", async () => {
  const { keys, told, pass, kept } = manager();
  await keys.start();
  const set = kept.set.bind(kept);
  kept.set = () => {
    throw new Error("disk full");
  };
  await pass(12 * HOUR_MS);
  assert.equal(told.length, 1);
  kept.set = set;
  await pass(10_000);
  assert.equal(told.length, 2);
  await keys.stop();
});

test("a key can be changed at any time, but not while the last change spreads", async () => {
  const { keys, told, pass } = manager();
  await keys.start();
  await pass(HOUR_MS);
  await keys.rotate();
  assert.equal(told.length, 2);
  await assert.rejects(keys.rotate(), /spreads already/);
  await pass(60_000);
  assert.deepEqual(told.at(-1), told[1]?.toReversed());
  await pass(12 * HOUR_MS - 1);
  assert.equal(told.length, 3);
  await pass(1);
  assert.equal(told.length, 4, "the next by itself comes twelve hours later");
  await keys.stop();
});
