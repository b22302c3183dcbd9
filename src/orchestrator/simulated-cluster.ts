/**
 * A whole control plane in memory for tests: the real store and loops on a fake clock, and agents that do
 * at once what they are told. What must always hold is checked at every transaction.
 */
import assert from "node:assert/strict";
import { FakeClock } from "../base/clock.ts";
import type { Startable } from "../base/lifecycle.ts";
import { silentLogger } from "../base/logger.ts";
import {
  makeCluster,
  makeNetwork,
  makeNode,
  makeService,
  type NodeInit,
} from "../cluster/factories.ts";
import {
  isTaskStateAtLeast,
  isTerminal,
  type Node,
  type Service,
  type Task,
  type TaskState,
} from "../cluster/objects.ts";
import { createMemoryStore } from "../cluster/open-store.ts";
import type { Change, Snapshot, Store } from "../cluster/store.ts";
import { isOver, isWanted } from "../cluster/task-lifecycle.ts";
import { hostPortsOf } from "../scheduler/node-info.ts";
import { startControlLoops } from "./control-loops.ts";

/** Turns of the event loop without a write after which nothing more comes of itself. */
const QUIET_TURNS = 30;
/** Turns after which a simulation that never becomes quiet has failed. */
const TURNS_MAX = 100_000;

export class SimulatedCluster {
  readonly clock = new FakeClock();
  readonly store: Store = createMemoryStore({ clock: this.clock });
  /** What a task of this image ends as instead of running; by default it runs. */
  readonly fates = new Map<string, TaskState>();
  /** When set, `settle` goes on after so many turns, whatever is still under way. */
  turnsMax: number | undefined;
  #loops = this.#start();
  readonly #unsubscribe: () => void;

  constructor() {
    this.#unsubscribe = this.store.subscribe((event) => {
      for (const change of event.changes) checkChange(change);
      checkSnapshot(this.store.view());
    });
  }

  static async of(nodes: readonly string[]): Promise<SimulatedCluster> {
    const cluster = new SimulatedCluster();
    await cluster.store.update((tx) => {
      tx.put("cluster", makeCluster());
      tx.put("network", makeNetwork());
      for (const id of nodes) tx.put("node", makeNode({ id, hostname: id }));
    });
    await cluster.settle();
    return cluster;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#unsubscribe();
    await this.#loops.stop();
    await this.store.close();
  }

  /** As when the manager's daemon is killed and started again: only what stands in the store is left. */
  async restart(): Promise<void> {
    await this.#loops.stop();
    this.#loops = this.#start();
    await this.settle();
  }

  /** Lets loops and agents do all that they do without time passing. */
  async settle(): Promise<Snapshot> {
    let quiet = 0;
    for (let turn = 0; quiet < QUIET_TURNS; turn++) {
      if (turn === this.turnsMax) break;
      assert.ok(turn < TURNS_MAX, "the control plane never comes to rest");
      const { revision } = this.store.view();
      await this.#actAsAgents();
      await new Promise<void>((resolve) => setImmediate(resolve));
      quiet = this.store.view().revision === revision ? quiet + 1 : 0;
    }
    return this.store.view();
  }

  async advance(ms: number): Promise<Snapshot> {
    this.clock.advance(ms);
    return this.settle();
  }

  async createService(init: Parameters<typeof makeService>[0] & { id: string }): Promise<Snapshot> {
    await this.store.update((tx) =>
      tx.put("service", makeService({ ...init, specVersion: { index: tx.nextRevision } })),
    );
    return this.settle();
  }

  /** As the API does it: the old spec is remembered, an update's status forgotten. */
  async updateService(
    id: string,
    change: (spec: Service["spec"]) => Service["spec"],
  ): Promise<void> {
    await this.store.update((tx) => {
      const service = tx.get("service", id);
      assert.ok(service);
      const { updateStatus: _updateStatus, ...rest } = service;
      const specVersion = { index: tx.nextRevision };
      tx.put("service", {
        ...rest,
        spec: change(service.spec),
        previousSpec: service.spec,
        specVersion,
      });
    });
  }

  async changeNode(
    id: string,
    init: Pick<NodeInit, "availability" | "state" | "labels">,
  ): Promise<Snapshot> {
    await this.store.update((tx) => {
      const node = tx.get("node", id);
      assert.ok(node);
      const { availability = node.spec.availability, labels = node.spec.labels } = init;
      const status: Node["status"] = { ...node.status, state: init.state ?? node.status.state };
      tx.put("node", { ...node, spec: { ...node.spec, availability, labels }, status });
    });
    return this.settle();
  }

  /** What its agent would say of it; of a task that is over already nobody says anything. */
  async endTask(id: string, state: TaskState): Promise<Snapshot> {
    await this.store.update((tx) => {
      const task = tx.get("task", id);
      if (task === undefined || isOver(task)) return;
      tx.put("task", { ...task, status: { ...task.status, state, message: "ended" } });
    });
    return this.settle();
  }

  running(serviceID: string): readonly Task[] {
    return this.store
      .view()
      .tasksOfService(serviceID)
      .filter((task) => task.status.state === "running" && isWanted(task))
      .sort(
        (a, b) => (a.slot ?? 0) - (b.slot ?? 0) || (a.nodeID ?? "").localeCompare(b.nodeID ?? ""),
      );
  }

  /** Wanted tasks by node, as "n1:2 n2:1". */
  spread(serviceID: string): string {
    const counts = new Map<string, number>();
    for (const { nodeID = "none" } of this.running(serviceID)) {
      counts.set(nodeID, (counts.get(nodeID) ?? 0) + 1);
    }
    const parts = [...counts].sort(([a], [b]) => a.localeCompare(b));
    return parts.map(([node, count]) => `${node}:${count}`).join(" ");
  }

  #start(): Startable {
    return startControlLoops({ store: this.store, clock: this.clock, log: silentLogger });
  }

  async #actAsAgents(): Promise<void> {
    const acts = this.store
      .view()
      .list("task")
      .some((task) => this.#next(task) !== undefined);
    if (!acts) return;
    await this.store.update((tx) => {
      for (const task of tx.list("task")) {
        const state = this.#next(task);
        if (state !== undefined)
          tx.put("task", { ...task, status: { ...task.status, state, message: state } });
      }
    });
  }

  /** The state that the task's node takes it to next; undefined when it is where it should be. */
  #next(task: Task): TaskState | undefined {
    const node = this.store.view().get("node", task.nodeID ?? "");
    const { state } = task.status;
    if (node?.status.state !== "ready" || isTerminal(state)) return undefined;
    if (!isTaskStateAtLeast(state, "assigned")) return undefined;
    if (!isWanted(task)) return "shutdown";
    if (state === "assigned") return "preparing";
    if (state === "preparing") return "ready";
    if (state === "ready" && task.desiredState === "running") {
      return this.fates.get(task.spec.containerSpec.image) ?? "running";
    }
    return undefined;
  }
}

function checkChange(change: Change): void {
  if (change.kind !== "task" || change.action !== "update") return;
  const { object, old } = change;
  const text = `task ${object.id}: ${old.status.state}/${old.desiredState} -> ${object.status.state}/${object.desiredState}`;
  assert.ok(isTaskStateAtLeast(object.status.state, old.status.state), text);
  assert.ok(isTaskStateAtLeast(object.desiredState, old.desiredState), text);
  assert.ok(old.nodeID === undefined || old.nodeID === object.nodeID, `${text}: moved`);
  assert.equal(object.slot, old.slot);
}

function checkSnapshot(snapshot: Snapshot): void {
  const present = snapshot.list("task").filter((task) => !isOver(task));
  const addresses = present.flatMap(({ networksAttachments }) =>
    networksAttachments.flatMap((attachment) => attachment.addresses),
  );
  assert.equal(new Set(addresses).size, addresses.length, "an address is held twice");
  const hostPorts = present
    .filter((task) => isTaskStateAtLeast(task.status.state, "assigned"))
    .flatMap((task) =>
      hostPortsOf(task).map((port) => `${task.nodeID} ${port.protocol}/${port.publishedPort}`),
    );
  assert.equal(
    new Set(hostPorts).size,
    hostPorts.length,
    `a host port is used twice: ${hostPorts.join(", ")}`,
  );
}
