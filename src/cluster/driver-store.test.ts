import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "../base/clock.ts";
import { silentLogger } from "../base/logger.ts";
import { DriverStore } from "./driver-store.ts";
import { makeNode } from "./factories.ts";
import { MemoryDriver } from "./memory-driver.ts";
import { storeContract } from "./store-contract.ts";
import type { StoreDriver } from "./store-driver.ts";

const clock = new FakeClock();

async function openOn(driver: StoreDriver): Promise<DriverStore> {
  const components = { driver, clock, log: silentLogger };
  return new DriverStore(components, await driver.load(), await driver.readSecrets());
}

storeContract("memory", async (run) => {
  const driver = new MemoryDriver({ changelogRevisions: 20 });
  let store = await openOn(driver);
  await run({
    store,
    clock,
    reopen: async () => {
      await store.close();
      store = await openOn(driver);
      return store;
    },
  });
  await store.close();
});

test("two stores on one driver never lose an increment", async () => {
  const driver = new MemoryDriver();
  const stores = [await openOn(driver), await openOn(driver)];
  await stores[0]?.update((tx) => tx.put("node", makeNode({ id: "n1", index: 0 })));
  const increments = stores.flatMap((store) =>
    Array.from({ length: 50 }, async () => {
      await store.update((tx) => {
        const node = tx.get("node", "n1");
        assert.ok(node);
        tx.put("node", { ...node, index: (node.index ?? 0) + 1 });
      });
    }),
  );
  await Promise.all(increments);
  const last = await openOn(driver);
  assert.equal(last.view().get("node", "n1")?.index, 100);
});

test("a commit that fails rejects its writers and leaves the store as it was", async () => {
  const driver = new MemoryDriver();
  const store = await openOn(driver);
  const commit = driver.commit.bind(driver);
  driver.commit = () => Promise.reject(new Error("disk is gone"));
  await assert.rejects(
    store.update((tx) => tx.put("node", makeNode())),
    /disk is gone/,
  );
  assert.equal(store.view().list("node").length, 0);
  driver.commit = commit;
  await store.update((tx) => tx.put("node", makeNode()));
  assert.equal(store.view().list("node").length, 1);
});

test("writes of one turn share a commit", async () => {
  const driver = new MemoryDriver();
  const store = await openOn(driver);
  const sizes: number[] = [];
  const commit = driver.commit.bind(driver);
  driver.commit = (transactions, base) => {
    sizes.push(transactions.length);
    return commit(transactions, base);
  };
  await Promise.all(
    Array.from({ length: 10 }, () => store.update((tx) => tx.put("node", makeNode()))),
  );
  assert.deepEqual(sizes, [10]);
});
