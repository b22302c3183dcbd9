/** What every store promises, run over each driver. Test code: the program never imports this. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "../base/clock.ts";
import { makeNode, makeService, makeTask } from "./factories.ts";
import type { Store, StoreEvent } from "./store.ts";

export interface StoreUnderTest {
  readonly store: Store;
  readonly clock: FakeClock;
  /** Closes the store and opens another on the same data. */
  readonly reopen: () => Promise<Store>;
}

export function storeContract(
  name: string,
  withStore: (run: (under: StoreUnderTest) => Promise<void>) => Promise<void>,
): void {
  const promise = (text: string, run: (under: StoreUnderTest) => Promise<void>): void =>
    void test(`${name}: ${text}`, () => withStore(run));

  promise("sets versions and times, and shares what did not change", async ({ store, clock }) => {
    await store.update((tx) => tx.put("service", makeService({ id: "s1" })));
    clock.advance(1_000);
    await store.update((tx) => tx.put("node", makeNode({ id: "n1" })));
    const before = store.view();
    const service = before.get("service", "s1");
    assert.ok(service);
    assert.equal(service.version.index, 1);
    await store.update((tx) => {
      assert.equal(tx.nextRevision, 3);
      tx.put("service", { ...service, registryAuth: "x" });
      assert.equal(tx.get("service", "s1")?.version.index, 3, "a transaction reads its own writes");
    });
    const after = store.view();
    assert.equal(after.revision, 3);
    assert.equal(after.get("service", "s1")?.version.index, 3);
    assert.equal(after.get("service", "s1")?.createdAt, service.createdAt);
    assert.notEqual(after.get("service", "s1")?.updatedAt, service.updatedAt);
    assert.equal(before.get("service", "s1")?.registryAuth, undefined, "a snapshot never changes");
    assert.equal(after.get("node", "n1"), before.get("node", "n1"));
  });

  promise("indexes tasks by service and node through every move", async ({ store }) => {
    const task = makeTask({ id: "t1", serviceID: "s1" });
    await store.update((tx) => tx.put("task", task));
    assert.deepEqual(ids(store.view().tasksOfService("s1")), ["t1"]);
    await store.update((tx) => tx.put("task", makeTask({ ...task, nodeID: "n1" })));
    await store.update((tx) => tx.put("task", makeTask({ ...task, nodeID: "n2" })));
    assert.deepEqual(ids(store.view().tasksOfNode("n1")), []);
    assert.deepEqual(ids(store.view().tasksOfNode("n2")), ["t1"]);
    await store.update((tx) => tx.delete("task", "t1"));
    assert.deepEqual(ids(store.view().tasksOfNode("n2")), []);
    assert.deepEqual(ids(store.view().tasksOfService("s1")), []);
  });

  promise("tells listeners each transaction once, in order, netted", async ({ store }) => {
    const events: StoreEvent[] = [];
    const unsubscribe = store.subscribe((event) => {
      assert.equal(store.view().revision, event.revision, "a listener sees the event's own state");
      events.push(event);
    });
    await Promise.all([
      store.update((tx) => tx.put("node", makeNode({ id: "n1" }))),
      store.update((tx) => {
        tx.put("node", makeNode({ id: "n2" }));
        tx.put("node", makeNode({ id: "n2", state: "down" }));
        tx.put("node", makeNode({ id: "n3" }));
        tx.delete("node", "n3");
      }),
      store.update((tx) => tx.delete("node", "n1")),
    ]);
    unsubscribe();
    await store.update((tx) => tx.delete("node", "n2"));
    assert.deepEqual(events.map(textOf), [
      "1: create node n1",
      "2: create node n2",
      "3: remove node n1",
    ]);
  });

  promise("makes no revision of nothing", async ({ store }) => {
    const node = makeNode({ id: "n1" });
    await store.update((tx) => tx.put("node", node));
    let events = 0;
    store.subscribe(() => events++);
    await store.update((tx) =>
      tx.put("node", makeNode({ ...node, hostname: node.description?.hostname ?? "" })),
    );
    await store.update((tx) => {
      tx.delete("node", "no such");
      tx.put("node", { ...node, index: 7 });
      tx.put("node", node);
    });
    assert.equal(await store.update(() => 42), 42);
    assert.equal(store.view().revision, 1);
    assert.equal(events, 0);
  });

  promise("makes a version of what a user has written, be it the same", async ({ store }) => {
    const node = makeNode({ id: "n1" });
    await store.update((tx) => tx.put("node", node));
    const before = store.view().get("node", "n1");
    await store.update((tx) => tx.putWritten("node", node));
    assert.equal(store.view().get("node", "n1")?.version.index, 2);
    assert.deepEqual(store.view().get("node", "n1")?.spec, before?.spec);
  });

  promise("drops the whole of a transaction that throws, and only that", async ({ store }) => {
    const results = await Promise.allSettled([
      store.update((tx) => tx.put("node", makeNode({ id: "n1" }))),
      store.update((tx) => {
        tx.put("node", makeNode({ id: "n2" }));
        throw new Error("no");
      }),
      store.update((tx) => tx.list("node").length),
    ]);
    assert.deepEqual(
      results.map(({ status }) => status),
      ["fulfilled", "rejected", "fulfilled"],
    );
    assert.deepEqual(ids(store.view().list("node")), ["n1"]);
  });

  promise("holds everything over a reopening, secrets too", async ({ store, reopen }) => {
    const task = makeTask({ id: "t1", serviceID: "s1", nodeID: "n1" });
    await store.update((tx) => {
      tx.put("task", task);
      tx.put("service", makeService({ id: "s1" }));
    });
    await store.update((tx) => tx.delete("service", "s1"));
    await store.secrets.set("ca-key", "one");
    await store.secrets.set("ca-key", "two");
    const kept = store.view().get("task", "t1");
    const again = await reopen();
    assert.equal(again.view().revision, 2);
    assert.deepEqual(again.view().get("task", "t1"), kept);
    assert.deepEqual(ids(again.view().tasksOfNode("n1")), ["t1"]);
    assert.equal(again.view().get("service", "s1"), undefined);
    assert.equal(again.secrets.get("ca-key"), "two");
    assert.equal(again.secrets.get("other"), undefined);
    await again.update((tx) => tx.delete("task", "t1"));
    assert.equal(again.view().revision, 3);
  });

  promise("watches from a revision through history into what comes", async ({ store, reopen }) => {
    await store.update((tx) => tx.put("node", makeNode({ id: "n1" })));
    await store.update((tx) => tx.put("node", makeNode({ id: "n1", state: "down" })));
    const again = await reopen();
    const abort = new AbortController();
    const seen: string[] = [];
    const watching = (async () => {
      for await (const event of again.watch(1, abort.signal)) {
        seen.push(textOf(event));
        if (event.revision === 2) await again.update((tx) => tx.delete("node", "n1"));
        if (event.revision === 3) abort.abort();
      }
    })();
    await watching;
    assert.deepEqual(seen, ["2: update node n1", "3: remove node n1"]);
  });

  promise("tells history as it told it live", async ({ store, reopen }) => {
    const live: StoreEvent[] = [];
    store.subscribe((event) => live.push(event));
    for (let round = 0; round < 5; round++) {
      await store.update((tx) => {
        tx.put("node", makeNode({ id: "n1", index: round }));
        tx.put("service", makeService({ id: `s${round}` }));
        tx.delete("service", `s${round - 1}`);
        tx.put("task", makeTask({ id: "t1", serviceID: `s${round}`, nodeID: "n1" }));
      });
      await store.update((tx) => (round % 2 ? tx.delete("task", "t1") : tx.delete("node", "n1")));
    }
    const again = await reopen();
    const abort = new AbortController();
    const told: StoreEvent[] = [];
    for await (const event of again.watch(0, abort.signal)) {
      if (told.push(event) === live.length) abort.abort();
    }
    assert.deepEqual(told, live);
  });

  promise("refuses to watch from what is compacted away", async ({ store }) => {
    for (let i = 0; i < 100; i++) {
      await store.update((tx) => tx.put("node", makeNode({ id: "n1", addr: `192.168.99.${i}` })));
    }
    const signal = AbortSignal.abort();
    const first = async () => {
      for await (const event of store.watch(1, signal)) return event;
      return undefined;
    };
    await assert.rejects(first, { name: "InvalidParameterError", message: /compacted/ });
  });

  promise(
    "after close, writes are refused and those queued before it stand",
    async ({ store, reopen }) => {
      const queued = store.update((tx) => tx.put("node", makeNode({ id: "n1" })));
      const again = await reopen();
      await queued;
      assert.deepEqual(ids(again.view().list("node")), ["n1"]);
      await assert.rejects(
        store.update(() => {}),
        { name: "UnavailableError" },
      );
    },
  );
}

function ids(objects: readonly { readonly id: string }[]): string[] {
  return objects.map(({ id }) => id).sort();
}

function textOf(event: StoreEvent): string {
  const changes = event.changes.map(({ action, kind, object }) => `${action} ${kind} ${object.id}`);
  return `${event.revision}: ${changes.join(", ")}`;
}
