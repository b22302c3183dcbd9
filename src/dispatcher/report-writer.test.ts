import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeClock } from "../base/clock.ts";
import { silentLogger } from "../base/logger.ts";
import { makeNode, makeTask } from "../cluster/factories.ts";
import type { TaskState } from "../cluster/objects.ts";
import { createMemoryStore } from "../cluster/open-store.ts";
import type { Store } from "../cluster/store.ts";
import type { TaskStatusUpdate } from "./assignment.ts";
import { ReportWriter } from "./report-writer.ts";

const NODES = ["loud", "quiet", "third"];

async function setUp(tasksPerNode = 4) {
  const clock = new FakeClock();
  const store = createMemoryStore();
  await store.update((tx) => {
    for (const nodeID of NODES) {
      tx.put("node", makeNode({ id: nodeID }));
      for (let task = 0; task < tasksPerNode; task++) {
        tx.put("task", makeTask({ id: `${nodeID}-${task}`, nodeID, state: "assigned" }));
      }
    }
  });
  const transactions: (readonly string[])[] = [];
  store.subscribe((event) => void transactions.push(event.changes.map(({ object }) => object.id)));
  const writer = new ReportWriter({ store, clock, log: silentLogger });
  return { clock, store, transactions, writer };
}

const update = (taskID: string, state: TaskState, message = ""): TaskStatusUpdate => ({
  taskID,
  status: { timestamp: "2026-01-01T00:00:00Z", state, message },
});

const statusOf = (store: Store, taskID: string) => store.view().get("task", taskID)?.status;

describe("what nodes report", () => {
  it("is one transaction when it comes in one turn, whoever says it", async () => {
    const { writer, transactions } = await setUp();
    await Promise.all(
      NODES.map((nodeID) =>
        writer.submit({ nodeID, statuses: [update(`${nodeID}-0`, "accepted")] }),
      ),
    );
    assert.deepEqual(transactions, [["loud-0", "quiet-0", "third-0"]]);
  });

  it("of one task is its last status, and never goes back", async () => {
    const { writer, store } = await setUp();
    const states = ["accepted", "running", "starting"] as const;
    await Promise.all(
      states.map((state) =>
        writer.submit({ nodeID: "loud", statuses: [update("loud-0", state, state)] }),
      ),
    );
    assert.equal(statusOf(store, "loud-0")?.message, "running");
    await writer.submit({ nodeID: "loud", statuses: [update("loud-0", "running", "draining")] });
    assert.equal(statusOf(store, "loud-0")?.message, "draining");
  });

  it("without pause is put together at the node's budget, and costs nobody else a wait", async () => {
    const { writer, store, clock, transactions } = await setUp();
    for (let report = 0; report < 60; report++) {
      await writer.submit({
        nodeID: "loud",
        statuses: [update("loud-0", "running", `${report}`)],
      });
    }
    assert.equal(transactions.length, 60);
    const waiting = Array.from({ length: 64 }, (_, report) =>
      writer.submit({ nodeID: "loud", statuses: [update("loud-0", "running", `late ${report}`)] }),
    );
    await writer.submit({ nodeID: "quiet", statuses: [update("quiet-0", "running", "heard")] });
    await writer.idle();
    assert.equal(statusOf(store, "quiet-0")?.message, "heard");
    assert.equal(statusOf(store, "loud-0")?.message, "59");
    assert.deepEqual(clock.pending(), ["reports"]);
    clock.advance(50);
    await Promise.all(waiting);
    assert.equal(statusOf(store, "loud-0")?.message, "late 63");
    assert.equal(transactions.length, 62);
    assert.deepEqual(clock.pending(), []);
  });

  it("is paid for by its length", async () => {
    const { writer, clock } = await setUp(1_000);
    const all = (state: TaskState) =>
      Array.from({ length: 1_000 }, (_, task) => update(`loud-${task}`, state));
    for (let report = 0; report < 15; report++) {
      await writer.submit({ nodeID: "loud", statuses: all("running") });
    }
    const late = writer.submit({ nodeID: "loud", statuses: all("running") });
    await writer.idle();
    assert.deepEqual(clock.pending(), ["reports"]);
    clock.advance(50);
    await late;
  });

  it("of others' tasks or of none is neither written nor kept", async () => {
    const { writer, store, transactions } = await setUp();
    await writer.submit({
      nodeID: "loud",
      statuses: [update("quiet-0", "failed"), update("nobody's", "failed")],
    });
    assert.equal(statusOf(store, "quiet-0")?.state, "assigned");
    assert.deepEqual(transactions, []);
  });

  it("waits in vain for a manager that stops, and is sent again", async () => {
    const { writer, store, clock } = await setUp();
    for (let report = 0; report < 60; report++) {
      await writer.submit({ nodeID: "loud", statuses: [update("loud-0", "running")] });
    }
    void writer.submit({ nodeID: "loud", statuses: [update("loud-0", "complete")] });
    await writer.idle();
    await writer.stop();
    assert.deepEqual(clock.pending(), []);
    assert.equal(statusOf(store, "loud-0")?.state, "running");
  });
});
