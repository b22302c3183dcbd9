import assert from "node:assert/strict";
import { it } from "node:test";
import { makeNode, makeTask } from "../cluster/factories.ts";
import { createMemoryStore } from "../cluster/open-store.ts";
import type { KernelMesh } from "../datapath/inspect.ts";
import type { MeshService } from "../datapath/view.ts";
import type { MeshSurvey } from "../dispatcher/assignment.ts";
import { meshAnswer } from "./mesh.ts";

const node = (nodeID: string, index: number) => ({
  nodeID,
  index,
  underlayAddress: `192.168.99.${index}`,
  overlayAddress: `10.255.0.${index}`,
  addresses: [],
});

const service = (serviceID: string, publishedPort: number, addresses: string[]): MeshService => ({
  serviceID,
  serviceName: serviceID,
  ports: [{ protocol: "tcp", publishedPort, targetPort: 80 }],
  endpoints: addresses.map((address, at) => ({
    taskID: `${serviceID}-${at}`,
    address,
    nodeIndex: 1,
    state: address.endsWith(".99") ? "draining" : "live",
  })),
});

const kernel = (change: Partial<KernelMesh>): KernelMesh => ({
  revision: 7,
  ports: [],
  routed: [],
  connections: {},
  ...change,
});

const SURVEY: MeshSurvey = {
  mesh: {
    revision: 7,
    nodes: [node("n1", 1), node("n2", 2)],
    networks: [],
    services: [
      service("web", 8080, ["10.255.0.10", "10.255.0.99"]),
      service("db", 8081, ["10.255.0.10"]),
    ],
  },
  kernels: new Map([
    [
      "n1",
      kernel({
        ports: [{ protocol: "tcp", publishedPort: 8080, live: ["10.255.0.10"] }],
        routed: ["10.255.0.10", "10.255.0.99"],
        connections: { "10.255.0.99": 3 },
      }),
    ],
    // It answers another protocol's port of that number, which says nothing of this one.
    ["n2", kernel({ ports: [{ protocol: "udp", publishedPort: 8080, live: ["10.255.0.10"] }] })],
  ]),
};

async function snapshot() {
  const store = createMemoryStore();
  await store.update((tx) => {
    tx.put("node", makeNode({ id: "n1" }));
    tx.put("task", makeTask({ id: "web-0", slot: 4 }));
  });
  return store.view();
}

it("shows each endpoint of each port as each node's kernel has it", async () => {
  const { Services } = meshAnswer(SURVEY, await snapshot());
  const seen = Services.flatMap(({ Name, Ports }) =>
    Ports.flatMap(({ Endpoints }) =>
      Endpoints.map(({ Address, Slot, Kernels }) => [Name, Address, Slot, Kernels]),
    ),
  );
  const state = (State: string, Connections = 0) => ({ State, Connections });
  assert.deepEqual(seen, [
    ["web", "10.255.0.10", 4, { n1: state("live"), n2: state("absent") }],
    ["web", "10.255.0.99", undefined, { n1: state("draining", 3), n2: state("absent") }],
    ["db", "10.255.0.10", undefined, { n1: state("draining"), n2: state("absent") }],
  ]);
});

it("says which node does not answer a port, and why", async () => {
  const store = createMemoryStore();
  const reason = "address already in use";
  const problem = { protocol: "tcp", publishedPort: 8081, reason } as const;
  await store.update((tx) =>
    tx.put("node", { ...makeNode({ id: "n2" }), portProblems: [problem] }),
  );
  const { Nodes } = meshAnswer(SURVEY, store.view());
  const told = [{ Protocol: "tcp", PublishedPort: 8081, Reason: reason }];
  assert.deepEqual(
    Nodes.map(({ Unanswered }) => Unanswered),
    [undefined, told],
  );
});

it("shows one service where one is asked for", async () => {
  const { Services, Nodes } = meshAnswer(SURVEY, await snapshot(), "db");
  assert.deepEqual([Services.map(({ Name }) => Name), Nodes.length], [["db"], 2]);
});
