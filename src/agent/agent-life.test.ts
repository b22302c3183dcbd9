/** Whatever happens to a node in whatever order, what must hold of its tasks in the end, and at each step. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import fc from "fast-check";
import { isTaskStateAtLeast, isTerminal, type Task, type TaskState } from "../cluster/objects.ts";
import { NO_PAYLOADS } from "../dispatcher/assignment.ts";
import { FakeNode } from "./fake-node.ts";
import { makeMesh, makeTask } from "./fakes.ts";

const TASKS = ["t1", "t2", "t3"] as const;

/** One thing that befalls a node. */
type Happening =
  | { readonly kind: "desire"; readonly task: string; readonly state: TaskState }
  | { readonly kind: "unassign" | "exit" | "sicken"; readonly task: string }
  | { readonly kind: "engine" | "keeper" | "kernel"; readonly works: boolean }
  | { readonly kind: "restart" | "wait" | "mesh" };

const task = fc.constantFrom(...TASKS);
const happening: fc.Arbitrary<Happening> = fc.oneof(
  fc.record({
    kind: fc.constant("desire" as const),
    task,
    state: fc.constantFrom<TaskState[]>("ready", "running", "running", "shutdown", "remove"),
  }),
  fc.record({
    kind: fc.constantFrom("unassign" as const, "exit" as const, "sicken" as const),
    task,
  }),
  fc.record({
    kind: fc.constantFrom("engine" as const, "keeper" as const, "kernel" as const),
    works: fc.boolean(),
  }),
  fc.record({ kind: fc.constantFrom("restart" as const, "wait" as const, "mesh" as const) }),
);

class Life {
  readonly node: FakeNode;
  /** As managers keep it: a desired state only moves forward. */
  readonly assigned = new Map<string, Task>();
  readonly gone = new Set<string>();
  readonly states = new Map<string, TaskState>();
  #told = 0;
  #revision = 1;

  constructor(directory: string) {
    this.node = new FakeNode(directory);
  }

  async befall(what: Happening): Promise<void> {
    switch (what.kind) {
      case "desire":
        this.#desire(what.task, what.state);
        break;
      case "unassign":
        if (this.assigned.delete(what.task)) this.gone.add(what.task);
        this.tell();
        break;
      case "exit":
        this.node.runtime.exit(what.task, 1);
        break;
      case "sicken":
        this.node.runtime.setHealth(what.task, "unhealthy");
        break;
      case "engine":
        this.node.runtime.setAvailable(what.works);
        break;
      case "keeper":
        this.node.keeper.setAvailable(what.works);
        break;
      case "kernel":
        this.node.datapath.broken = !what.works;
        break;
      case "restart":
        await this.node.restart();
        this.#told = 0;
        this.tell();
        break;
      case "wait":
        await this.node.wait();
        break;
      case "mesh":
        this.#revision += 1;
        this.node.agent.onMesh(makeMesh(this.#revision, [8080], [...this.assigned.keys()]));
        break;
    }
    this.check();
  }

  tell(): void {
    const assignments = [...this.assigned.values()].map((assigned) => ({ task: assigned }));
    this.node.agent.onTasks(assignments, NO_PAYLOADS);
  }

  /** What is told of a task never goes back, over restarts of the daemon too. */
  check(): void {
    for (const { taskID, status } of this.node.reporter.statuses.slice(this.#told)) {
      const before = this.states.get(taskID) ?? "assigned";
      assert.ok(isTaskStateAtLeast(status.state, before), `${taskID}: ${before} → ${status.state}`);
      if (isTerminal(before)) assert.equal(status.state, before);
      this.states.set(taskID, status.state);
    }
    this.#told = this.node.reporter.statuses.length;
  }

  #desire(id: string, state: TaskState): void {
    if (this.gone.has(id)) return;
    const before = this.assigned.get(id);
    if (before !== undefined && isTaskStateAtLeast(before.desiredState, state)) return;
    this.assigned.set(id, { ...(before ?? makeTask(id)), desiredState: state });
    this.tell();
  }
}

it("tasks end as they should, however Engine, keeper, kernel and daemon come and go", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(happening, { maxLength: 25 }), async (happenings) => {
      const directory = mkdtempSync(join(tmpdir(), "weft-life-"));
      const life = new Life(directory);
      try {
        await life.node.start();
        life.node.agent.onMesh(makeMesh(1, [8080]));
        for (const what of happenings) {
          await life.befall(what);
          await new Promise((resolve) => setImmediate(resolve));
        }
        await settleWell(life);
        checkEnd(life);
      } finally {
        await life.node.agent.stop();
        rmSync(directory, { recursive: true });
      }
    }),
    { numRuns: 150 },
  );
});

/** Everything works again, and enough time passes. */
async function settleWell(life: Life): Promise<void> {
  await life.befall({ kind: "engine", works: true });
  await life.befall({ kind: "keeper", works: true });
  await life.befall({ kind: "kernel", works: true });
  await life.befall({ kind: "mesh" });
  life.tell();
  // A list of all containers, too.
  life.node.clock.advance(30_000);
  await life.node.wait();
  life.check();
}

function checkEnd({ node, assigned, states }: Life): void {
  for (const id of TASKS) {
    const assignment = assigned.get(id);
    const phase = node.phaseOf(id);
    const state = states.get(id);
    if (assignment === undefined) assert.equal(phase, undefined, `${id} is left behind`);
    else if (assignment.desiredState === "ready") assert.notEqual(phase, "running");
    else if (assignment.desiredState === "running") {
      assert.ok(state !== undefined && isTaskStateAtLeast(state, "running"), `${id} is ${state}`);
      assert.equal(phase === "running", state === "running");
    } else {
      assert.notEqual(phase, "running", `${id} runs though it is to stop`);
      assert.ok(state !== undefined && isTerminal(state), `${id} is ${state}`);
    }
  }
  const containers = [...node.runtime.containers.values()].map(({ config }) => config.taskID);
  assert.equal(new Set(containers).size, containers.length, "a task has two containers");
}
