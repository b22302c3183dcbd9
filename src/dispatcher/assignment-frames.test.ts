import assert from "node:assert/strict";
import { test } from "node:test";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { AssignmentsInbox, type ReceivedTasks } from "../agent/session-inbox.ts";
import { makeTask, makeTaskSpec } from "../cluster/factories.ts";
import type { Secret } from "../cluster/objects.ts";
import { createMemoryStore } from "../cluster/open-store.ts";
import { assignmentFrames, type ToldAssignments } from "./assignment-frames.ts";
import { assignmentsOfNode, payloadsOfNode } from "./assignments.ts";
import { AssignmentsSchema } from "./gen/weft_pb.ts";

const TASKS = new Map(["t1", "t2", "t3"].map((id) => [id, { task: makeTask({ id }) }]));
const DATA = new Map(["a", "b"].map((id) => [id, Buffer.from(`data of ${id}`).toString("base64")]));

function some<V>(all: ReadonlyMap<string, V>): fc.Arbitrary<ReadonlyMap<string, V>> {
  return fc.subarray([...all]).map((entries) => new Map(entries));
}
const told: fc.Arbitrary<ToldAssignments> = fc.record({
  tasks: some(TASKS),
  secrets: some(DATA),
  configs: some(DATA),
});

test("a node that was told each change knows what it was to be told", () => {
  fc.assert(
    fc.property(fc.array(told, { minLength: 1, maxLength: 6 }), (sets) => {
      const inbox = new AssignmentsInbox();
      let sequence = 0;
      let before: ToldAssignments | undefined;
      let known: ReceivedTasks | undefined;
      for (const set of sets) {
        for (const frame of assignmentFrames(before, set)) {
          const bytes = toBinary(AssignmentsSchema, frame);
          const received = inbox.receive(fromBinary(AssignmentsSchema, bytes), ++sequence);
          if (received.kind === "set") known = received.value;
        }
        before = set;
        assert.deepEqual(
          known?.tasks.map(({ task }) => task.id).sort((a, b) => a.localeCompare(b)),
          [...set.tasks.keys()].sort((a, b) => a.localeCompare(b)),
        );
        for (const kind of ["secrets", "configs"] as const) {
          const payloads: ReadonlyMap<string, Uint8Array> = known?.payloads[kind] ?? new Map();
          const texts = [...payloads].map(([id, data]): [string, string] => [
            id,
            Buffer.from(data).toString("base64"),
          ]);
          assert.deepEqual(new Map(texts), set[kind]);
        }
      }
    }),
  );
});

test("large data goes in frames of its own, before the tasks that read it", () => {
  const large = Buffer.alloc(1_000_000, "x").toString("base64");
  const configs = new Map(["a", "b", "c"].map((id) => [id, large]));
  const frames = assignmentFrames(undefined, { tasks: TASKS, secrets: new Map(), configs });
  assert.deepEqual(
    frames.map(({ complete, more, put, putConfigs }) => [
      complete,
      more,
      put.length,
      putConfigs.length,
    ]),
    [
      [true, true, 0, 1],
      [false, true, 0, 1],
      [false, false, 3, 1],
    ],
  );
});

test("only a node whose task may still run is told its secret", async () => {
  const store = createMemoryStore();
  const file = { name: "key", uid: "0", gid: "0", mode: 0o400 };
  const containerSpec = {
    image: "busybox",
    secrets: [{ secretID: "s1" as Secret["id"], secretName: "key", file }],
  };
  const spec = makeTaskSpec({ containerSpec });
  await store.update((tx) => {
    tx.put("secret", { id: "s1" as Secret["id"], spec: { name: "key", labels: {}, data: "aGk=" } });
    tx.put("task", makeTask({ id: "t1", nodeID: "n1", state: "assigned", spec }));
    tx.put("task", makeTask({ id: "t2", nodeID: "n2", state: "running" }));
    tx.put("task", makeTask({ id: "t3", nodeID: "n3", state: "failed", spec }));
    tx.put("task", makeTask({ id: "t4", nodeID: "n4", desiredState: "shutdown", spec }));
  });
  const secretsOf = (nodeID: string) => {
    const snapshot = store.view();
    return [...payloadsOfNode(snapshot, assignmentsOfNode(snapshot, nodeID, new Set())).secrets];
  };
  assert.deepEqual(secretsOf("n1"), [["s1", "aGk="]]);
  for (const other of ["n2", "n3", "n4"]) assert.deepEqual(secretsOf(other), []);
});
