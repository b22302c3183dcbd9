import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { FakeClock } from "../base/clock.ts";
import { silentLogger } from "../base/logger.ts";
import { randomBelow, seededRandom } from "../base/random.ts";
import { Keyring, SealError } from "../gossip/keyring.ts";
import { GossipKeys } from "./gossip-keys.ts";
import { KeySpread } from "./key-spread.ts";

const HOUR_MS = 3_600_000;
const NO_KEY = Buffer.alloc(16);

function manager(kept = new Map<string, string>()) {
  const clock = new FakeClock();
  const told: string[][] = [];
  const secrets = {
    get: (name: string) => kept.get(name),
    set: async (name: string, value: string) => void kept.set(name, value),
  };
  let confirm = () => {};
  const onKeys = (keys: readonly Uint8Array[]) => {
    told.push(keys.map((key) => Buffer.from(key).toString("hex")));
    return new Promise<void>((resolve) => {
      confirm = resolve;
    });
  };
  const keys = new GossipKeys({ secrets, clock, log: silentLogger, onKeys });
  const pass = async (ms: number) => {
    clock.advance(ms);
    await setImmediate();
  };
  const confirmed = async () => {
    confirm();
    await setImmediate();
  };
  return { keys, told, pass, kept, confirmed };
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

test("who is shut out knows none of the keys once all others have confirmed each step", async () => {
  const { keys, told, confirmed, pass } = manager();
  await keys.start();
  await keys.rotate();
  const known = new Set(told.flat());
  const [old = "", spreading = ""] = told.at(-1) ?? [];
  keys.shutOut();
  await pass(0);
  const fresh = told.at(-1)?.[1] ?? "";
  assert.ok(!known.has(fresh));
  assert.deepEqual(told.at(-1), [old, fresh, spreading], "all go on hearing each other");
  await confirmed();
  assert.deepEqual(told.at(-1), [fresh, old, spreading]);
  await confirmed();
  assert.deepEqual(told.at(-1), [fresh]);
  const count = told.length;
  await pass(12 * HOUR_MS - 1);
  assert.equal(told.length, count, "the rotation begins anew");
  await pass(1);
  assert.equal(told.length, count + 1);
  await keys.stop();
});

test("nodes that do not confirm are not waited for long; who goes meanwhile is shut out by one more round", async () => {
  const { keys, told, pass } = manager();
  await keys.start();
  keys.shutOut();
  await pass(0);
  const [, first = ""] = told.at(-1) ?? [];
  for (let gone = 0; gone < 5; gone++) keys.shutOut();
  for (let step = 0; step < 8; step++) await pass(5_000);
  await keys.stop();
  assert.deepEqual(
    told.at(4),
    [first, told.at(4)?.[1]],
    "the next round begins with what is in use",
  );
  assert.equal(told.length, 7, "one at the start, three in each round");
  assert.equal(told.at(-1)?.length, 1);
  assert.ok(!told.at(-1)?.includes(first));
});

test("a manager that starts again, or cannot write, goes on shutting out", async () => {
  const before = manager();
  await before.keys.start();
  before.keys.shutOut();
  await before.pass(0);
  await before.keys.stop();
  const after = manager(before.kept);
  const set = after.kept.set.bind(after.kept);
  after.kept.set = () => {
    throw new Error("disk full");
  };
  await after.keys.start();
  await after.pass(0);
  after.kept.set = set;
  for (let step = 0; step < 10; step++) await after.pass(10_000);
  assert.equal(after.told.at(-1)?.length, 1);
  const all = before.told.flat();
  assert.ok(!all.slice(0, 1).includes(after.told.at(-1)?.[0] ?? ""));
  await after.keys.stop();
});

/** One of a cluster's nodes: takes up keys some time after it was told, and says so some time later. */
class Member {
  ring: Keyring | undefined;
  readonly #clock: FakeClock;
  readonly #delay: () => number;
  readonly nodeID: string;
  keysInstalled = 0;
  constructor(nodeID: string, clock: FakeClock, delay: () => number) {
    this.nodeID = nodeID;
    this.#clock = clock;
    this.#delay = delay;
  }
  /** Frames of one session arrive in order. */
  readonly #inbox: (() => void)[] = [];
  onInstalled: (generation: number) => void = () => {};
  setGossipKeys([first = NO_KEY, ...others]: readonly Uint8Array[], generation: number): void {
    this.#inbox.push(() => {
      if (this.ring === undefined) this.ring = new Keyring(first, others);
      else this.ring.replace(first, others);
      this.#clock.timer("said", this.#delay(), () => this.onInstalled(generation));
    });
    this.#clock.timer("told", this.#delay(), () => this.#inbox.shift()?.());
  }
}

test("whoever goes and whenever, members that confirm in time always hear each other, and in the end who is gone hears nobody", async () => {
  const steps = fc.array(fc.record({ gone: fc.nat(3), afterMs: fc.nat(3_000) }), { maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(steps, fc.integer({ min: 1 }), async (departures, seed) => {
      const clock = new FakeClock();
      const random = seededRandom(seed);
      const spread = new KeySpread();
      const members = new Map<string, Member>();
      for (let index = 0; index < 4; index++) {
        const member = new Member(`n${index}`, clock, () => randomBelow(random, 900));
        member.onInstalled = (generation) => spread.onInstalled(member, generation);
        members.set(member.nodeID, member);
      }
      const kept = new Map<string, string>();
      const keys = new GossipKeys({
        ...{ clock, log: silentLogger },
        secrets: {
          get: (name) => kept.get(name),
          set: async (n, value) => void kept.set(n, value),
        },
        onKeys: (told) => spread.tell(told, members),
      });
      const pass = async (ms: number) => {
        for (let at = 0; at < ms; at += 150) {
          clock.advance(150);
          await setImmediate();
          for (const one of members.values()) for (const two of members.values()) hears(one, two);
        }
      };
      await keys.start();
      await pass(2_000);
      const strangers: Member[] = [];
      for (const { gone, afterMs } of departures) {
        const member = members.get(`n${gone}`);
        if (member !== undefined && members.size > 2) {
          members.delete(member.nodeID);
          strangers.push(member);
          spread.check();
          keys.shutOut();
        }
        await pass(afterMs);
      }
      await pass(15_000);
      await keys.stop();
      for (const stranger of strangers) {
        for (const member of members.values()) {
          assert.throws(() => hears(member, stranger), SealError);
          assert.throws(() => hears(stranger, member), SealError);
        }
      }
    }),
    { numRuns: 15 },
  );
});

function hears(listener: Member, speaker: Member): void {
  if (speaker.ring === undefined || listener.ring === undefined) return;
  listener.ring.open(speaker.ring.seal(Buffer.from("news")));
}
