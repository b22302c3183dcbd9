import assert from "node:assert/strict";
import { test } from "node:test";
import { makeNode, makeService, makeTask } from "./factories.ts";
import { findNode, findService, findTask } from "./finders.ts";
import { taskName } from "./names.ts";
import { createMemoryStore } from "./open-store.ts";

const store = createMemoryStore();
await store.update((tx) => {
  tx.put("service", makeService({ id: "abc111", name: "web" }));
  tx.put("service", makeService({ id: "abc222", name: "abc1" }));
  tx.put("service", makeService({ id: "web999", name: "api" }));
  tx.put("node", makeNode({ id: "n1", hostname: "alpha" }));
  tx.put("node", makeNode({ id: "n2", hostname: "alpha" }));
  tx.put("task", makeTask({ id: "t1", slot: 3 }));
});
const snapshot = store.view();

test("a full id, a full name in any case, a unique id prefix, in that order", () => {
  assert.equal(findService(snapshot, "abc111").spec.name, "web");
  assert.equal(findService(snapshot, "WEB").id, "abc111");
  assert.equal(findService(snapshot, "abc1").id, "abc222", "a name wins over an id prefix");
  assert.equal(findService(snapshot, "abc2").id, "abc222");
  assert.equal(findTask(snapshot, "web.3.t1").id, "t1");
});

test("what fits several or none is refused in Docker's words", () => {
  assert.throws(() => findService(snapshot, "abc"), {
    name: "InvalidParameterError",
    message: "service abc is ambiguous (2 matches found)",
  });
  assert.throws(() => findNode(snapshot, "alpha"), {
    message: "node alpha is ambiguous (2 matches found)",
  });
  for (const reference of ["nothing", ""]) {
    assert.throws(() => findService(snapshot, reference), {
      name: "NotFoundError",
      message: `service ${reference} not found`,
    });
  }
});

test("a task of a global service is named by its node", () => {
  const { slot: _slot, ...task } = makeTask({ id: "t9", nodeID: "n1" });
  assert.equal(taskName(task), "web.n1.t9");
});
