import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../base/clock.ts";
import { silentLogger } from "../base/logger.ts";
import { seededRandom } from "../base/random.ts";
import type { MeshConfig } from "../dispatcher/assignment.ts";
import type { SaidEndpoint } from "../gossip/endpoint-news.ts";
import { said } from "../gossip/testing.ts";
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
  /** Where each node's gossip has said that somebody is there again. */
  readonly returned = new Map<string, Set<string>>();
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
        onReturned: (host) => {
          this.returned.set(nodeID, new Set([...(this.returned.get(nodeID) ?? []), host]));
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
  nodes.of("n3").setOwn(said({ gone: ["t3"] }));
  await nodes.hiding(["n1", "n2"], ["t3"]);
  nodes.of("n3").setOwn([]);
  await nodes.hiding(["n1", "n2"], []);
});

/** As managers know it before they hear that these tasks run; on the third node a second one does. */
function starting(...taskIDs: readonly string[]): MeshConfig {
  const { services, ...rest } = mesh();
  const network = { name: "ingress", subnet: "10.255.0.0/16", vni: 4_096, dataPathPort: 4_789 };
  return {
    ...{ ...rest, network },
    services: services.map((service) => ({
      ...service,
      endpoints: [
        ...service.endpoints.map((one) =>
          taskIDs.includes(one.taskID) ? { ...one, state: "starting" as const } : one,
        ),
        { taskID: "u3", address: "10.255.0.23", nodeIndex: 3, state: "live" as const },
      ],
    })),
  };
}
const readyAt = (taskID: string, address: string, vni = 4_096): SaidEndpoint => ({
  ...{ taskID, word: "ready", places: [{ vni, address }] },
  ...{ ports: [], ipv6Ports: [] },
});

test("with managers away, a task that becomes ready is ready everywhere, until it is gone or managers say more", async () => {
  await using nodes = new Nodes();
  for (const node of nodes.nodes.values()) node.setMesh(starting("t3"));
  nodes.managersAway();
  nodes.of("n3").setOwn([readyAt("t3", "10.255.0.13")]);
  await nodes.hiding(["n1", "n2", "n3"], ["t3"]);
  assert.equal(nodes.of("n1").overrides().get("t3")?.word, "ready");
  // Its node does not say it for ever; who has heard it goes on.
  nodes.of("n3").setOwn(said({ draining: ["u3"] }));
  await nodes.hiding(["n1", "n2", "n3"], ["t3", "u3"]);
  assert.equal(nodes.of("n1").overrides().get("t3")?.word, "ready");
  nodes.of("n3").setOwn(said({ gone: ["t3"] }));
  await nodes.until(() => nodes.of("n1").overrides().get("t3")?.word === "gone");
  assert.equal(nodes.of("n3").overrides().get("t3"), undefined, "here it has no link anyway");
  nodes.of("n3").setOwn([readyAt("t3", "10.255.0.13")]);
  await nodes.until(() => nodes.of("n1").overrides().get("t3")?.word === "ready");
  nodes.of("n1").setMesh(mesh());
  assert.deepEqual([...nodes.of("n1").overrides()], [], "managers know it to run");
});

test("nobody makes another's endpoint, nor one of its own elsewhere than managers have put it", async () => {
  await using nodes = new Nodes();
  for (const node of nodes.nodes.values()) node.setMesh(starting("t1", "t3"));
  nodes.managersAway();
  const truth = said({ draining: ["u3"] });
  const lies = [
    readyAt("t1", "10.255.0.11"),
    readyAt("t3", "10.255.0.99"),
    readyAt("x", "10.255.0.98"),
  ];
  nodes.of("n3").setOwn([...truth, ...lies]);
  await nodes.hiding(["n2"], ["u3"]);
  assert.equal(nodes.of("n2").report().disputed, 2);
  nodes.of("n3").setOwn([readyAt("t3", "10.255.0.13", 4_097)]);
  await nodes.hiding(["n2"], []);
  assert.equal(nodes.of("n2").report().disputed, 1);
  nodes.of("n1").setOwn([readyAt("t1", "10.255.0.11")]);
  await nodes.hiding(["n2"], ["t1"]);
  nodes.of("n3").setOwn(said({ gone: ["t1", "t3"] }));
  await nodes.hiding(["n2"], ["t1", "t3"]);
  assert.equal(nodes.of("n2").overrides().get("t1")?.word, "ready");
});

test("nobody's word hides another's endpoints", async () => {
  await using nodes = new Nodes();
  nodes.managersAway();
  nodes.of("n3").setOwn(said({ gone: ["t1", "t2", "t3"] }));
  await nodes.hiding(["n1", "n2"], ["t3"]);
});

test("a dead node's endpoints are hidden when they are silent, and kept while they answer", async () => {
  await using nodes = new Nodes();
  nodes.managersAway();
  nodes.of("n3").setOwn(said({ gone: ["t3"] })); // news has gone round: all know all
  await nodes.hiding(["n1", "n2"], ["t3"]);
  nodes.of("n3").setOwn([]);
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
  nodes.of("n3").setOwn(said({ draining: ["t3"] }));
  await nodes.hiding(["n1", "n2", "n3"], ["t3"]);
  assert.deepEqual([...nodes.of("n1").overrides()], [["t3", { word: "draining" }]]);
  nodes.of("n3").setOwn(said({ gone: ["t3"] }));
  await nodes.until(() => nodes.of("n1").overrides().get("t3")?.word === "gone");
});

test("while a manager is heard it alone says who is dead; one that is back is given time to know", async () => {
  await using nodes = new Nodes();
  nodes.of("n3").setOwn(said({ gone: ["t3"] }));
  await nodes.hiding(["n1", "n2"], ["t3"]);
  nodes.of("n3").setOwn([]);
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
  nodes.of("n3").setOwn(said({ gone: ["t3"] })); // all know all
  await nodes.hiding(["n1", "n2"], ["t3"]);
  nodes.of("n3").setOwn([]);
  await nodes.hiding(["n1", "n2"], []);
  nodes.answering.delete("10.255.0.13");
  await nodes.of("n3").stop();
  await nodes.hiding(["n1", "n2"], ["t3"]);
});

test("a node that was cut off says who is there again, and the others say so of it", async () => {
  await using nodes = new Nodes();
  const [cutOff, other] = ["192.168.9.3", "192.168.9.1"];
  await nodes.until(() => nodes.returned.get("n3")?.has(other) === true);
  nodes.network.passes = (from, to) => (from.host === cutOff) === (to.host === cutOff);
  await nodes.until(() => nodes.words.get("n3")?.includes("n1 accused") === true);
  await nodes.until(() => nodes.words.get("n1")?.includes("n3 accused") === true);
  nodes.returned.clear();
  nodes.network.passes = () => true;
  await nodes.until(() => nodes.returned.get("n3")?.has(other) === true);
  await nodes.until(() => nodes.returned.get("n1")?.has(cutOff) === true);
});

test("news that fits into no packet is found missing by the digests, and fetched", async () => {
  await using nodes = new Nodes();
  const others = Array.from({ length: 60 }, (_, index) => `${"x".repeat(25)}${index}`);
  nodes.of("n3").setOwn(said({ gone: ["t3"] }));
  await nodes.hiding(["n1", "n2"], ["t3"]);
  nodes.of("n3").setOwn(said({ gone: others }));
  await nodes.hiding(["n1", "n2"], []);
});

test("a node that moves is found at its new address, and is nobody else", async () => {
  await using nodes = new Nodes();
  nodes.of("n3").setOwn(said({ gone: ["t3"] }));
  await nodes.hiding(["n1", "n2"], ["t3"]);
  const moved = mesh();
  const elsewhere = moved.nodes.map((node) =>
    node.nodeID === "n3" ? { ...node, underlayAddress: "192.168.9.33" } : node,
  );
  for (const node of nodes.nodes.values()) node.setMesh({ ...moved, nodes: elsewhere });
  nodes.of("n3").setOwn([]);
  await nodes.hiding(["n1", "n2"], []);
});
