import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { meetsExpressions } from "../cluster/constraints.ts";
import {
  makeNode,
  makePort,
  makeTask,
  type NodeInit,
  type TaskInit,
} from "../cluster/factories.ts";
import type { Task } from "../cluster/objects.ts";
import { createMemoryStore } from "../cluster/open-store.ts";
import type { Snapshot } from "../cluster/store.ts";
import { planSchedule } from "./plan-schedule.ts";
import { FAILURE_WINDOW_MS, FAILURES_MAX, RecentFailures } from "./recent-failures.ts";

async function snapshotOf(nodes: readonly NodeInit[], tasks: readonly Task[]): Promise<Snapshot> {
  const store = createMemoryStore();
  await store.update((tx) => {
    for (const node of nodes) tx.put("node", makeNode(node));
    for (const task of tasks) tx.put("task", task);
  });
  return store.view();
}

const pending = (init: TaskInit): Task => makeTask({ serviceID: "s", state: "pending", ...init });

async function schedule(nodes: readonly NodeInit[], tasks: readonly Task[]) {
  return planSchedule(await snapshotOf(nodes, tasks), new RecentFailures(), 0);
}

const three = [{ id: "n1" }, { id: "n2" }, { id: "n3" }];
const hostPort = {
  spec: { mode: "vip", ports: [] },
  ports: [makePort({ publishMode: "host" })],
  virtualIPs: [],
} as const;

const refusals: readonly (readonly [string, readonly NodeInit[], TaskInit, string])[] = [
  ["no node at all", [], {}, "no suitable node"],
  [
    "a drained one",
    [{ availability: "drain" }],
    {},
    "no suitable node (1 node not available for new tasks)",
  ],
  [
    "paused, down and not yet ready ones",
    [{ availability: "pause" }, { state: "down" }, { state: "unknown" }],
    {},
    "no suitable node (3 nodes not available for new tasks)",
  ],
  [
    "too little memory",
    three,
    { spec: { resources: { reservations: { memoryBytes: 9 * 1024 ** 3 } } } },
    "no suitable node (insufficient resources on 3 nodes)",
  ],
  [
    "the commonest reason first",
    [...three, { availability: "drain" }],
    { spec: { resources: { reservations: { nanoCPUs: 5e9 } } } },
    "no suitable node (insufficient resources on 3 nodes; 1 node not available for new tasks)",
  ],
  [
    "constraints",
    three,
    { spec: { placement: { constraints: ["node.labels.ssd==true"] } } },
    "no suitable node (scheduling constraints not satisfied on 3 nodes)",
  ],
  [
    "platform",
    [{}],
    { spec: { placement: { platforms: [{ architecture: "arm64", os: "linux" }] } } },
    "no suitable node (unsupported platform on 1 node)",
  ],
  [
    "plugin",
    [
      {
        description: {
          engine: { engineVersion: "", labels: {}, plugins: [{ type: "Log", name: "json-file" }] },
        },
      },
    ],
    { spec: { logDriver: { name: "fluentd" } } },
    "no suitable node (missing plugin on 1 node)",
  ],
  [
    "a global task's own node",
    three,
    { nodeID: "n2", spec: { placement: { constraints: ["node.id==n1"] } } },
    "no suitable node (scheduling constraints not satisfied on 1 node)",
  ],
];
for (const [name, nodes, task, expected] of refusals) {
  test(`refused: ${name}`, async () => {
    const [result] = await schedule(nodes, [pending(task)]);
    assert.ok(result);
    assert.equal(result.status.state, "pending");
    assert.equal(result.status.message, "pending task scheduling");
    assert.equal(result.status.err, expected);
    assert.deepEqual(await schedule(nodes, [result]), [], "and not written again");
  });
}

test("host-mode ports and max replicas: one per node, the rest waits and says why", async () => {
  const tasks = [1, 2, 3, 4].map((slot) => pending({ slot, endpoint: hostPort }));
  const placed = await schedule(three, tasks);
  assert.deepEqual(
    placed.slice(0, 3).map(({ nodeID }) => nodeID),
    ["n1", "n2", "n3"],
  );
  assert.equal(
    placed[3]?.status.err,
    "no suitable node (host-mode port already in use on 3 nodes)",
  );
  const limited = [1, 2].map((slot) => pending({ slot, spec: { placement: { maxReplicas: 1 } } }));
  const [, second] = await schedule([{ id: "n1" }], limited);
  assert.equal(second?.status.err, "no suitable node (max replicas per node limit exceed)");
});

test("a task that is asked to stop holds its host port until it did", async () => {
  const old = makeTask({ nodeID: "n1", desiredState: "shutdown", endpoint: hostPort });
  const waiting = pending({ endpoint: hostPort });
  const [refused] = await schedule([{ id: "n1" }], [old, waiting]);
  assert.match(refused?.status.err ?? "", /host-mode port/);
  const ended = { ...old, status: { ...old.status, state: "shutdown" as const } };
  const [placed] = await schedule([{ id: "n1" }], [ended, waiting]);
  assert.equal(placed?.status.message, "scheduler assigned task to node");
});

test("tasks spread: fewest of the service first, then fewest in all", async () => {
  const running = [
    makeTask({ serviceID: "s", nodeID: "n1" }),
    makeTask({ serviceID: "other", nodeID: "n2" }),
    makeTask({ serviceID: "gone", nodeID: "n3", desiredState: "shutdown", state: "shutdown" }),
  ];
  const placed = await schedule(three, [...running, ...[2, 3, 4].map((slot) => pending({ slot }))]);
  assert.deepEqual(
    placed.map(({ nodeID }) => nodeID),
    ["n3", "n2", "n1"],
  );
});

test("preferences spread over a label's values before nodes", async () => {
  const nodes = [
    { id: "a1", labels: { zone: "a" } },
    { id: "a2", labels: { zone: "a" } },
    { id: "a3", labels: { zone: "a" } },
    { id: "b1", labels: { zone: "b" } },
  ];
  const preferences = [{ spread: { spreadDescriptor: "node.labels.zone" } }];
  const tasks = Array.from({ length: 6 }, (_, i) =>
    pending({ slot: i + 1, spec: { placement: { preferences } } }),
  );
  const placed = await schedule(nodes, tasks);
  const onB = placed.filter(({ nodeID }) => nodeID === "b1").length;
  assert.equal(onB, 3);
});

test("a node where the service keeps failing is avoided for five minutes", async () => {
  const snapshot = await snapshotOf(
    [{ id: "n1" }, { id: "n2" }],
    [makeTask({ serviceID: "s", nodeID: "n2" }), pending({ slot: 2 })],
  );
  const failures = new RecentFailures();
  for (let i = 0; i < FAILURES_MAX; i++)
    failures.record(makeTask({ serviceID: "s", nodeID: "n1" }), 1_000);
  const at = (nowMs: number) => planSchedule(snapshot, failures, nowMs)[0]?.nodeID;
  assert.equal(at(2_000), "n2");
  assert.equal(at(2_000 + FAILURE_WINDOW_MS), "n1");
});

test("a thousand tasks on a hundred nodes take well under a second, evenly", async () => {
  const nodes = Array.from({ length: 100 }, (_, i) => ({ id: `n${i}` }));
  const tasks = Array.from({ length: 1_000 }, (_, i) =>
    pending({
      slot: i + 1,
      spec: {
        placement: { constraints: ["node.role==worker"] },
        resources: { reservations: { memoryBytes: 1024 ** 2 } },
      },
    }),
  );
  const snapshot = await snapshotOf(nodes, tasks);
  // Processor time, so that a busy machine is no failure.
  const start = process.cpuUsage();
  const placed = planSchedule(snapshot, new RecentFailures(), 0);
  const took = process.cpuUsage(start).user / 1_000;
  assert.ok(took < 1_000, `${took} ms`);
  const perNode = new Map<string, number>();
  for (const { nodeID = "" } of placed) perNode.set(nodeID, (perNode.get(nodeID) ?? 0) + 1);
  assert.deepEqual(new Set(perNode.values()), new Set([10]));
});

test("no constraint, reservation, limit or host port is ever broken", async () => {
  const node = fc.record({
    zone: fc.constantFrom("a", "b"),
    memoryBytes: fc.integer({ min: 0, max: 4 }),
    availability: fc.constantFrom("active", "drain"),
  });
  const need = fc.record({
    serviceID: fc.constantFrom("s1", "s2"),
    zone: fc.constantFrom(undefined, "a", "b"),
    memoryBytes: fc.integer({ min: 0, max: 3 }),
    host: fc.boolean(),
    maxReplicas: fc.integer({ min: 0, max: 2 }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(node, { maxLength: 6 }),
      fc.array(need, { maxLength: 12 }),
      async (nodes, needs) => {
        const tasks = needs.map(({ serviceID, zone, memoryBytes, host, maxReplicas }, i) =>
          pending({
            serviceID,
            slot: i + 1,
            ...(host ? { endpoint: hostPort } : {}),
            spec: {
              resources: { reservations: { memoryBytes } },
              placement: {
                maxReplicas,
                ...(zone ? { constraints: [`node.labels.zone==${zone}`] } : {}),
              },
            },
          }),
        );
        const inits = nodes.map(({ zone, memoryBytes, availability }, i) => ({
          id: `n${i}`,
          labels: { zone },
          availability: availability as "active" | "drain",
          description: { resources: { memoryBytes } },
        }));
        const placed = (await schedule(inits, tasks)).filter(
          ({ status }) => status.state === "assigned",
        );
        for (const init of inits) {
          const here = placed.filter(({ nodeID }) => nodeID === init.id);
          const memory = here.reduce(
            (sum, { spec }) => sum + (spec.resources?.reservations?.memoryBytes ?? 0),
            0,
          );
          assert.ok(memory <= init.description.resources.memoryBytes);
          assert.ok(here.filter(({ endpoint }) => endpoint !== undefined).length <= 1);
          assert.ok(here.length === 0 || init.availability === "active");
          for (const { spec, serviceID } of here) {
            assert.ok(meetsExpressions(spec.placement?.constraints, makeNode(init)));
            const limit = spec.placement?.maxReplicas ?? 0;
            const later = here.filter((each) => each.serviceID === serviceID).length;
            assert.ok(
              limit === 0 ||
                later <= limit ||
                here.some((each) => each.spec.placement?.maxReplicas !== limit),
            );
          }
        }
      },
    ),
  );
});
