import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { isTaskStateAtLeast, isTerminal, TASK_STATES, type TaskState } from "../cluster/objects.ts";
import { mustStop } from "../dispatcher/assignment.ts";
import type { ContainerState } from "../runtime/runtime.ts";
import { DESTROYED, nextStep, type TaskStep, type TaskView, UNHEALTHY } from "./task-step.ts";

const created = { containerID: "c", taskID: "t", phase: "created", health: "none" } as const;
const running = { ...created, phase: "running" } as const;
const sick = { ...running, health: "unhealthy" } as const;
const exited = (exitCode: number): ContainerState => ({ ...created, phase: "exited", exitCode });

function view(overrides: Partial<TaskView>): TaskView {
  return {
    state: "assigned",
    desired: "running",
    assigned: true,
    container: undefined,
    sick: false,
    cutOff: false,
    unhealthy: false,
    live: false,
    reachable: true,
    serving: true,
    drained: true,
    ...overrides,
  };
}

describe("a task's next step", () => {
  const rows: readonly [string, Partial<TaskView>, TaskStep][] = [
    ["is accepted first", {}, { kind: "report", state: "accepted", message: "accepted" }],
    [
      "then prepared",
      { state: "accepted" },
      { kind: "report", state: "preparing", message: "preparing" },
    ],
    ["makes its container", { state: "preparing" }, { kind: "prepare" }],
    [
      "is ready when it is made",
      { state: "preparing", container: created },
      { kind: "report", state: "ready", message: "prepared" },
    ],
    [
      "waits at ready while no more is desired",
      { state: "ready", desired: "ready", container: created },
      { kind: "wait" },
    ],
    [
      "goes on when running is desired",
      { state: "ready", container: created },
      { kind: "report", state: "starting", message: "starting" },
    ],
    ["starts", { state: "starting", container: created }, { kind: "start" }],
    [
      "runs",
      { state: "starting", container: running },
      { kind: "report", state: "running", message: "started" },
    ],
    [
      "does not run before it serves",
      { state: "starting", container: running, serving: false },
      { kind: "wait" },
    ],
    [
      "is not stopped before its connections are done",
      { state: "running", desired: "shutdown", container: running, drained: false },
      { kind: "wait" },
    ],
    [
      "does not run before packets arrive",
      { state: "starting", container: running, reachable: false },
      { kind: "wait" },
    ],
    [
      "does not run before it is healthy",
      { state: "starting", container: { ...running, health: "starting" } },
      { kind: "wait" },
    ],
    [
      "runs once it is healthy",
      { state: "starting", container: { ...running, health: "healthy" } },
      { kind: "report", state: "running", message: "started" },
    ],
    [
      "tells of what is sick",
      { state: "running", container: { ...running, health: "unhealthy" } },
      { kind: "report", state: "running", message: "unhealthy container", unhealthy: true },
    ],
    [
      "does not stop it while connections are led to it",
      { state: "running", container: sick, unhealthy: true, live: true },
      { kind: "wait" },
    ],
    [
      "then stops it",
      { state: "running", container: sick, unhealthy: true },
      { kind: "stop", sick: true },
    ],
    [
      "stops what never got well",
      { state: "starting", container: { ...running, health: "unhealthy" } },
      { kind: "stop", sick: true },
    ],
    [
      "fails as unhealthy",
      { state: "running", container: exited(143), sick: true },
      { kind: "report", state: "failed", err: `task: non-zero exit (143): ${UNHEALTHY}` },
    ],
    [
      "fails as unhealthy though it ended well",
      { state: "running", container: exited(0), sick: true },
      { kind: "report", state: "failed", err: `task: non-zero exit (0): ${UNHEALTHY}` },
    ],
    [
      "completes",
      { state: "running", container: exited(0) },
      { kind: "report", state: "complete", message: "finished" },
    ],
    [
      "completes though it was never seen running",
      { state: "starting", container: exited(0) },
      { kind: "report", state: "complete", message: "finished" },
    ],
    [
      "fails with its code",
      { state: "running", container: exited(3) },
      { kind: "report", state: "failed", err: "task: non-zero exit (3)" },
    ],
    [
      "fails with the start's words",
      { state: "starting", container: { ...created, error: "no such file" } },
      { kind: "report", state: "failed", err: "starting container failed: no such file" },
    ],
    [
      "fails when somebody removed its container",
      { state: "running" },
      { kind: "report", state: "failed", err: DESTROYED },
    ],
    [
      "is rejected when that was before the start",
      { state: "ready" },
      { kind: "report", state: "rejected", err: DESTROYED },
    ],
    [
      "is stopped when that is desired",
      { state: "running", desired: "shutdown", container: running },
      { kind: "stop" },
    ],
    [
      "is shut down when it has stopped",
      { state: "running", desired: "shutdown", container: exited(137) },
      { kind: "report", state: "shutdown", message: "shutdown" },
    ],
    [
      "is shut down before it began",
      { state: "assigned", desired: "remove" },
      { kind: "report", state: "shutdown", message: "shutdown" },
    ],
    [
      "keeps its container when it has ended",
      { state: "failed", container: exited(3) },
      { kind: "wait" },
    ],
    [
      "removes it when nobody assigns it",
      { state: "failed", assigned: false, container: exited(3) },
      { kind: "remove" },
    ],
    ["stops it first", { state: "running", assigned: false, container: running }, { kind: "stop" }],
    ["is done when nothing is left", { state: "running", assigned: false }, { kind: "done" }],
  ];
  for (const [name, overrides, expected] of rows) {
    it(name, () => assert.deepEqual(nextStep(view(overrides)), expected));
  }
});

const container = fc.option(
  fc.record({
    containerID: fc.constant("c"),
    taskID: fc.constant("t"),
    phase: fc.constantFrom("created" as const, "running" as const, "exited" as const),
    health: fc.constantFrom(
      "none" as const,
      "starting" as const,
      "healthy" as const,
      "unhealthy" as const,
    ),
    exitCode: fc.constantFrom(0, 3, 137),
  }),
  { nil: undefined },
);
const views: fc.Arbitrary<TaskView> = fc.record({
  state: fc.constantFrom(...TASK_STATES),
  desired: fc.constantFrom<TaskState[]>("ready", "running", "shutdown", "remove", "complete"),
  assigned: fc.boolean(),
  container,
  sick: fc.boolean(),
  cutOff: fc.boolean(),
  unhealthy: fc.boolean(),
  live: fc.boolean(),
  reachable: fc.boolean(),
  serving: fc.boolean(),
  drained: fc.boolean(),
});

it("states only move forward, and nothing is reported once a task has ended", () => {
  fc.assert(
    fc.property(views, (before) => {
      const step = nextStep(before);
      if (step.kind !== "report") return;
      assert.ok(isTaskStateAtLeast(step.state, before.state));
      assert.ok(step.state !== before.state || (step.unhealthy === true && !before.unhealthy));
      assert.ok(!isTerminal(before.state));
    }),
    { numRuns: 2_000 },
  );
});

it("what is to stop never leaves a container running, and never starts one", () => {
  fc.assert(
    fc.property(views, (before) => {
      const isToStop = !before.assigned || isTerminal(before.state) || mustStop(before.desired);
      if (!isToStop) return;
      const step = nextStep(before);
      const drains = before.assigned && before.state === "running" && !before.drained;
      if (before.container?.phase === "running") assert.equal(step.kind, drains ? "wait" : "stop");
      else assert.ok(step.kind !== "start" && step.kind !== "prepare");
    }),
    { numRuns: 2_000 },
  );
});

it("a container that runs while it is to stop is stopped, however its life went until then", () => {
  const happening = fc.constantFrom("exit", "sicken", "heal", "reach", "step", "step", "step");
  fc.assert(
    fc.property(fc.array(happening, { maxLength: 40 }), fc.boolean(), (happenings, assigned) => {
      let now = view({ reachable: false });
      const step = () => {
        now = obeyed(now, nextStep(now));
      };
      for (const event of happenings) {
        if (event === "step") step();
        else if (event === "reach") now = { ...now, reachable: true };
        else now = { ...now, container: befallen(now.container, event) };
      }
      now = { ...now, desired: "shutdown", assigned };
      for (let pass = 0; pass < 5; pass += 1) step();
      assert.notEqual(now.container?.phase, "running");
      assert.ok(!assigned || isTerminal(now.state));
      assert.ok(assigned || now.container === undefined);
    }),
  );
});

function befallen(
  container: ContainerState | undefined,
  event: "exit" | "sicken" | "heal",
): ContainerState | undefined {
  if (container?.phase !== "running") return container;
  if (event === "exit") return { ...container, phase: "exited", exitCode: 3 };
  return { ...container, health: event === "sicken" ? "unhealthy" : "healthy" };
}

/** The world after a machine has obeyed. */
function obeyed(before: TaskView, step: TaskStep): TaskView {
  if (step.kind === "report") return { ...before, state: step.state };
  if (step.kind === "prepare") return { ...before, container: created };
  if (step.kind === "start") return { ...before, container: { ...running, health: "starting" } };
  if (step.kind === "remove") return { ...before, container: undefined };
  if (step.kind !== "stop") return before;
  return { ...before, sick: before.sick || step.sick === true, container: exited(143) };
}
