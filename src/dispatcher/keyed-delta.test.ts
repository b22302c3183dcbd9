import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { makeService, makeTask } from "../cluster/factories.ts";
import { createMemoryStore } from "../cluster/open-store.ts";
import { assignmentsOfNode, isSameAssignment } from "./assignments.ts";
import { applyDelta, diffKeyed, isEmptyDelta } from "./keyed-delta.ts";

interface Entry {
  readonly key: string;
  readonly value: number;
}
const keyed = fc
  .dictionary(fc.constantFrom("a", "b", "c", "d"), fc.nat(3))
  .map((entries) => new Map(Object.entries(entries).map(([key, value]) => [key, { key, value }])));
const isSame = (a: Entry, b: Entry) => a.value === b.value;

test("what is sent makes of the one set the other, and of equal sets nothing", () => {
  fc.assert(
    fc.property(keyed, keyed, (before, after) => {
      const delta = diffKeyed<Entry>(before, after, isSame);
      assert.deepEqual(
        applyDelta(before, delta, ({ key }) => key),
        after,
      );
      assert.ok(isEmptyDelta(diffKeyed<Entry>(after, after, isSame)));
    }),
  );
});

test("a node is told its own tasks from `assigned` on, with the credentials to pull, and its own words are no news", async () => {
  const store = createMemoryStore();
  const task = makeTask({ id: "t1", serviceID: "web", nodeID: "n1", state: "assigned" });
  await store.update((tx) => {
    tx.put("service", makeService({ id: "web", registryAuth: "secret" }));
    tx.put("task", task);
    tx.put("task", makeTask({ id: "t2", nodeID: "n2" }));
    tx.put("task", makeTask({ id: "t3", nodeID: "n1", state: "pending" }));
  });
  const first = assignmentsOfNode(store.view(), "n1", new Set());
  assert.deepEqual([...first.keys()], ["t1"]);
  assert.equal(first.get("t1")?.registryAuth, "secret");

  await store.update((tx) =>
    tx.put("task", { ...task, status: { ...task.status, state: "running" } }),
  );
  const said = assignmentsOfNode(store.view(), "n1", new Set());
  assert.ok(isEmptyDelta(diffKeyed(first, said, isSameAssignment)));

  await store.update((tx) => tx.put("task", { ...task, desiredState: "shutdown" }));
  const held = assignmentsOfNode(store.view(), "n1", new Set([task.id]));
  assert.ok(isEmptyDelta(diffKeyed(first, held, isSameAssignment)), "held: nothing has changed");
  const stopped = assignmentsOfNode(store.view(), "n1", new Set());
  assert.equal(diffKeyed(held, stopped, isSameAssignment).put[0]?.task.desiredState, "shutdown");
});
