import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../base/clock.ts";
import { silentLogger } from "../base/logger.ts";
import { seededRandom } from "../base/random.ts";
import type { MeshConfig } from "../dispatcher/assignment.ts";
import { TIMINGS } from "../gossip/timings.ts";
import { MemoryNetwork } from "../gossip/transport-memory.ts";
import { NodeGossip } from "./node-gossip.ts";

const KEYS = [Buffer.alloc(16, 1)];

/** Three nodes, each with one task of one service. */
function mesh(): MeshConfig {
  const nodes = [1, 2, 3].map((index) => ({
    nodeID: `n${index}`,
    index,
    underlayAddress: `192.168.9.${index}`,
    overlayAddress: `10.255.0.${index}`,
    addresses: [],
  }));
  const endpoints = nodes.map(({ index }) => ({
    taskID: `t${index}`,
    address: `10.255.0.1${index}`,
    nodeIndex: index,
    state: "live" as const,
  }));
  const service = { serviceID: "s", serviceName: "web", ports: [], endpoints };
  return { revision: 1, nodes, services: [service], networks: [] };
}

class Nodes implements AsyncDisposable {
  readonly network = new MemoryNetwork();
  readonly answering = new Set(["10.255.0.11", "10.255.0.12", "10.255.0.13"]);
  readonly nodes = new Map<string, NodeGossip>();
  /** What each node's gossip said of others. */
  readonly words = new Map<string, string[]>();
  readonly #wakes = new Set<() => void>();

  constructor() {
    for (const [index, nodeID] of ["n1", "n2", "n3"].entries()) {
      const node = new NodeGossip({
        nodeID,
        hostname: nodeID,
        clock: systemClock,
        random: seededRandom(index),
        log: silentLogger,
        onMembership: (other, word) => {
          this.words.set(nodeID, [...(this.words.get(nodeID) ?? []), `${other} ${word}`]);
          this.#wake();
        },
        timings: TIMINGS.local,
        transport: (bind) => this.network.transport(bind),
        probe: { answers: (address) => Promise.resolve(this.answering.has(address)) },
      });
      node.onOverrides(() => this.#wake());
      this.nodes.set(nodeID, node);
      node.setConnected(true);
      node.setKeys(KEYS);
      node.setMesh(mesh());
    }
  }
  of(nodeID: string): NodeGossip {
    const node = this.nodes.get(nodeID);
    assert.ok(node);
    return node;
  }
  managersAway(): void {
    for (const node of this.nodes.values()) node.setConnected(false);
  }
  /** Resolves when every one of these hides exactly these tasks. */
  async hiding(nodeIDs: readonly string[], tasks: readonly string[]): Promise<void> {
    const done = () =>
      nodeIDs.every((id) => [...this.of(id).overrides().keys()].toSorted().join() === tasks.join());
    await this.until(done);
  }
  async until(done: () => boolean): Promise<void> {
    while (!done()) await new Promise<void>((resolve) => this.#wakes.add(resolve));
  }
  #wake(): void {
    for (const wake of this.#wakes) wake();
    this.#wakes.clear();
  }
  async [Symbol.asyncDispose](): Promise<void> {
    for (const node of this.nodes.values()) await node.stop();
  }
}

test("with managers away, a task that ends is hidden everywhere, and back when its node says so", async () => {
  await using nodes = new Nodes();
  nodes.managersAway();
  nodes.of("n3").setOwn({ gone: ["t3"], draining: [] });
  await nodes.hiding(["n1", "n2"], ["t3"]);
  nodes.of("n3").setOwn({ gone: [], draining: [] });
  await nodes.hiding(["n1", "n2"], []);
});

test("nobody's word hides another's endpoints", async () => {
  await using nodes = new Nodes();
  nodes.managersAway();
  nodes.of("n3").setOwn({ gone: ["t1", "t2", "t3"], draining: [] });
  await nodes.hiding(["n1", "n2"], ["t3"]);
});

test("a dead node's endpoints are hidden when they are silent, and kept while they answer", async () => {
  await using nodes = new Nodes();
  nodes.managersAway();
  nodes.of("n3").setOwn({ gone: ["t3"], draining: [] }); // news has gone round: all know all
  await nodes.hiding(["n1", "n2"], ["t3"]);
  nodes.of("n3").setOwn({ gone: [], draining: [] });
  await nodes.hiding(["n1", "n2"], []);
  nodes.answering.delete("10.255.0.12");
  await nodes.of("n2").stop();
  await nodes.of("n3").stop();
  await nodes.hiding(["n1"], ["t2"]);
  nodes.answering.delete("10.255.0.13");
  await nodes.hiding(["n1"], ["t2", "t3"]);
  // A task that is in an overlay network alone shares its host's fate.
  const endpoint = { taskID: "o3", taskName: "db.1", aliases: [], addresses: ["10.0.9.3"] };
  const network = {
    ...{ networkID: "o", name: "back", vni: 4_097, subnets: [], internal: false, services: [] },
    containers: [{ ...endpoint, nodeIndex: 3, state: "live" as const }],
  };
  nodes.answering.add("10.255.0.3");
  nodes.of("n1").setMesh({ ...mesh(), networks: [network] });
  nodes.answering.delete("10.255.0.3");
  await nodes.hiding(["n1"], ["o3", "t2", "t3"]);
});

test("a node's own word counts while managers are heard too, and draining is less than gone", async () => {
  await using nodes = new Nodes();
  nodes.of("n3").setOwn({ gone: [], draining: ["t3"] });
  await nodes.hiding(["n1", "n2", "n3"], ["t3"]);
  assert.deepEqual([...nodes.of("n1").overrides()], [["t3", "draining"]]);
  nodes.of("n3").setOwn({ gone: ["t3"], draining: [] });
  await nodes.until(() => nodes.of("n1").overrides().get("t3") === "gone");
});

test("while a manager is heard it alone says who is dead; one that is back is given time to know", async () => {
  await using nodes = new Nodes();
  nodes.of("n3").setOwn({ gone: ["t3"], draining: [] });
  await nodes.hiding(["n1", "n2"], ["t3"]);
  nodes.of("n3").setOwn({ gone: [], draining: [] });
  await nodes.hiding(["n1", "n2"], []);
  nodes.answering.clear();
  nodes.of("n2").setConnected(false);
  await nodes.of("n3").stop();
  await nodes.hiding(["n2"], ["t3"]);
  assert.deepEqual([...nodes.of("n1").overrides()], []);
  await nodes.until(() => nodes.words.get("n1")?.includes("n3 accused") === true);
  assert.deepEqual([...nodes.of("n1").overrides()], []);
  nodes.of("n2").setConnected(true);
  nodes.of("n2").setMesh(mesh());
  assert.deepEqual([...nodes.of("n2").overrides().keys()], ["t3"]);
});

test("a manager whose node is dead is not waited for", async () => {
  await using nodes = new Nodes();
  for (const nodeID of ["n1", "n2"]) nodes.of(nodeID).setManagers(["n3"]);
  nodes.of("n3").setOwn({ gone: ["t3"], draining: [] }); // all know all
  await nodes.hiding(["n1", "n2"], ["t3"]);
  nodes.of("n3").setOwn({ gone: [], draining: [] });
  await nodes.hiding(["n1", "n2"], []);
  nodes.answering.delete("10.255.0.13");
  await nodes.of("n3").stop();
  await nodes.hiding(["n1", "n2"], ["t3"]);
});

test("news that fits into no packet is found missing by the digests, and fetched", async () => {
  await using nodes = new Nodes();
  const others = Array.from({ length: 60 }, (_, index) => `${"x".repeat(25)}${index}`);
  nodes.of("n3").setOwn({ gone: ["t3"], draining: [] });
  await nodes.hiding(["n1", "n2"], ["t3"]);
  nodes.of("n3").setOwn({ gone: others, draining: [] });
  await nodes.hiding(["n1", "n2"], []);
});

test("a node that moves is found at its new address, and is nobody else", async () => {
  await using nodes = new Nodes();
  nodes.of("n3").setOwn({ gone: ["t3"], draining: [] });
  await nodes.hiding(["n1", "n2"], ["t3"]);
  const moved = mesh();
  const elsewhere = moved.nodes.map((node) =>
    node.nodeID === "n3" ? { ...node, underlayAddress: "192.168.9.33" } : node,
  );
  for (const node of nodes.nodes.values()) node.setMesh({ ...moved, nodes: elsewhere });
  nodes.of("n3").setOwn({ gone: [], draining: [] });
  await nodes.hiding(["n1", "n2"], []);
});
