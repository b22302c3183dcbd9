import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { FakeClock } from "../base/clock.ts";
import { silentLogger } from "../base/logger.ts";
import { NameStore } from "../keeper/dns/name-store.ts";
import type { NameGroup, NameSetChange } from "../keeper/dns/names.ts";
import { FakeKeeper } from "./fakes.ts";
import { NameTeller } from "./name-teller.ts";
import type { NameSet } from "./names.ts";

/** A keeper that has a real store of names, and writes down what it was told. */
class NamesKeeper extends FakeKeeper {
  store: NameStore;
  readonly #directory: string;

  constructor(directory: string) {
    super();
    this.#directory = directory;
    this.store = this.#open();
  }

  /** What it was told is on disk, and a new process begins with that. */
  async restart(): Promise<void> {
    await this.store.flush();
    this.store = this.#open();
    await this.store.load();
  }

  override async changeNames(change: NameSetChange): Promise<void> {
    await super.changeNames(change);
    this.store.change(change);
  }

  override async keepNames(sets: readonly string[]): Promise<void> {
    await super.keepNames(sets);
    this.store.keep(sets);
  }

  addressesOf(set: string, name: string): readonly string[] | undefined {
    return this.store.get(set)?.find(name)?.addresses;
  }

  #open(): NameStore {
    return new NameStore({ clock: new FakeClock(), log: silentLogger }, this.#directory);
  }
}

async function withKeeper(work: (keeper: NamesKeeper) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "weft-names-"));
  try {
    const keeper = new NamesKeeper(directory);
    await keeper.store.load();
    await work(keeper);
  } finally {
    await rm(directory, { recursive: true });
  }
}

const groupOf = (id: string, address: string): NameGroup => ({
  id,
  entries: [{ names: [id], addresses: [address] }],
});
const setOf = (set: string, groups: readonly NameGroup[], suffix = "lan"): NameSet => ({
  ...{ set, suffix, subnets: [], groups },
});

test("a set is told whole once, then what changed, then nothing", async () => {
  await withKeeper(async (keeper) => {
    const teller = new NameTeller(keeper);
    const web = groupOf("web", "10.0.1.2");
    await teller.tell([setOf("a", [web, groupOf("db", "10.0.1.3")])]);
    await teller.tell([setOf("a", [groupOf("web", "10.0.1.2"), groupOf("db", "10.0.1.4")])]);
    await teller.tell([setOf("a", [web, groupOf("db", "10.0.1.4")])]);
    await teller.tell([setOf("a", [groupOf("db", "10.0.1.4")])]);
    const told = keeper.names.map(({ base, put, remove }) => [
      base === undefined ? "whole" : "change",
      put.map(({ id }) => id),
      remove,
    ]);
    assert.deepEqual(told, [
      ["whole", ["web", "db"], []],
      ["change", ["db"], []],
      ["change", [], ["web"]],
    ]);
    assert.deepEqual(keeper.addressesOf("a", "db"), ["10.0.1.4"]);
    assert.equal(keeper.addressesOf("a", "web"), undefined);
    await teller.tell([setOf("a", [groupOf("db", "10.0.1.4")], "other")]);
    assert.equal(keeper.names.at(-1)?.base, undefined, "another frame is another set");
  });
});

test("a keeper that was started anew has the names, and is told all of them again", async () => {
  await withKeeper(async (keeper) => {
    const teller = new NameTeller(keeper);
    await teller.tell([setOf("a", [groupOf("web", "10.0.1.2")]), setOf("b", [])]);
    await keeper.restart();
    assert.deepEqual(keeper.addressesOf("a", "web"), ["10.0.1.2"]);
    const changed = setOf("a", [groupOf("web", "10.0.1.2"), groupOf("db", "10.0.1.3")]);
    await teller.tell([changed]);
    assert.deepEqual(keeper.addressesOf("a", "db"), ["10.0.1.3"]);
    assert.deepEqual(keeper.nameSets, ["a"]);
    await keeper.restart();
    assert.equal(
      keeper.store.get("b"),
      undefined,
      "a set that is kept no more is forgotten on disk too",
    );
  });
});

test("a large set comes in parts, and is answered as before until the last", async () => {
  await withKeeper(async (keeper) => {
    const many = Array.from({ length: 5_000 }, (_, at) => groupOf(`s${at}`, "10.0.1.2"));
    await new NameTeller(keeper).tell([setOf("a", [groupOf("web", "10.0.1.2")])]);
    const seen: boolean[] = [];
    const change = keeper.store.change.bind(keeper.store);
    keeper.store.change = (part) => {
      seen.push(keeper.addressesOf("a", "web") !== undefined);
      change(part);
    };
    await new NameTeller(keeper).tell([setOf("a", many)]);
    assert.ok(seen.length >= 3 && seen.every((known) => known));
    assert.equal(keeper.addressesOf("a", "web"), undefined);
    assert.deepEqual(keeper.addressesOf("a", "s4999"), ["10.0.1.2"]);
  });
});

const anyGroups = fc.uniqueArray(
  fc
    .tuple(fc.constantFrom("a", "b", "c", "d"), fc.ipV4())
    .map(([id, address]) => groupOf(id, address)),
  { selector: ({ id }) => id },
);
const steps = fc.array(fc.tuple(anyGroups, fc.boolean()), { maxLength: 8 });

test("whatever was told before, and whoever forgot it, the keeper has what was told last", async () => {
  await withKeeper(async (keeper) => {
    await fc.assert(
      fc.asyncProperty(steps, async (rounds) => {
        const teller = new NameTeller(keeper);
        for (const [groups, restarts] of rounds) {
          if (restarts) await keeper.restart();
          await teller.tell([setOf("a", groups)]);
          const has = keeper.store.get("a")?.groups ?? [];
          const byID = (list: readonly NameGroup[]) =>
            list.toSorted((x, y) => x.id.localeCompare(y.id));
          assert.deepEqual(byID(has), byID(groups));
        }
      }),
      { numRuns: 40 },
    );
  });
});
