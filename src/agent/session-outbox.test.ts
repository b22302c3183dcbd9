import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { TaskStatusUpdate } from "../dispatcher/assignment.ts";
import { SessionOutbox } from "./session-outbox.ts";

const status = (taskID: string, message: string): TaskStatusUpdate => ({
  taskID,
  status: { timestamp: "2026-01-01T00:00:00Z", state: "running", message },
});

test("what is reported in one turn is one report, the newest word of each task", () => {
  const outbox = new SessionOutbox();
  outbox.putStatus(status("t1", "first"));
  outbox.putStatus(status("t1", "second"));
  outbox.putApplied(7);
  assert.deepEqual(outbox.take(), {
    sequence: 1,
    statuses: [status("t1", "second")],
    applied: 7,
  });
  assert.equal(outbox.take(), undefined);
});

test("a new session is told what was not acknowledged, but no confirmation of another session's mesh", () => {
  const outbox = new SessionOutbox();
  outbox.putStatus(status("t1", "acknowledged"));
  outbox.take();
  outbox.putStatus(status("t2", "lost"));
  outbox.putApplied(7);
  outbox.take();
  outbox.acknowledge(1);
  outbox.restart();
  assert.deepEqual(outbox.take(), { sequence: 1, statuses: [status("t2", "lost")] });
});

test("beyond its bound it waits for an acknowledgement", () => {
  const outbox = new SessionOutbox();
  let sent = 0;
  for (let i = 0; i < 10; i++) {
    outbox.putStatus(status(`t${i}`, ""));
    if (outbox.take() !== undefined) sent += 1;
  }
  assert.equal(sent, 4);
  outbox.acknowledge(1);
  assert.equal(outbox.take()?.statuses.length, 6);
});

test("whatever is lost, in the end a manager has the last word of each task", () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant("put" as const), task: fc.nat(3), word: fc.nat(9) }),
    fc.record({ kind: fc.constantFrom("send", "sendAndLose", "restart") }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const outbox = new SessionOutbox();
      const said = new Map<string, string>();
      const stored = new Map<string, string>();
      const send = (isLost: boolean) => {
        const report = outbox.take();
        if (report === undefined || isLost) return report !== undefined;
        for (const { taskID, status } of report.statuses) stored.set(taskID, status.message);
        outbox.acknowledge(report.sequence);
        return true;
      };
      for (const taken of steps) {
        if ("task" in taken) {
          said.set(`t${taken.task}`, `${taken.word}`);
          outbox.putStatus(status(`t${taken.task}`, `${taken.word}`));
        } else if (taken.kind === "restart") outbox.restart();
        // A lost report is a lost connection: nothing later comes through before a new session.
        else if (taken.kind === "sendAndLose") {
          send(true);
          outbox.restart();
        } else send(false);
      }
      while (send(false)) assert.ok(true);
      assert.deepEqual(stored, said);
    }),
  );
});
