import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { ClusterID, NetworkID, TaskID } from "../base/ids.ts";
import {
  makeCluster,
  makeNetwork,
  makeNode,
  makeOverlay,
  makePort,
  makeService,
  makeTask,
  type TaskInit,
} from "../cluster/factories.ts";
import type { Endpoint, NodeState, PortConfig, TaskState } from "../cluster/objects.ts";
import { createMemoryStore } from "../cluster/open-store.ts";
import type { Store } from "../cluster/store.ts";
import { Dirt } from "./dirt.ts";
import type { EndpointEvidence } from "./endpoint-state.ts";
import { applyDelta } from "./keyed-delta.ts";
import { diffMesh, EMPTY_MESH, type MeshTable, meshConfigOf, updateMesh } from "./mesh.ts";
import { decodeMeshNode, encodeMeshNode } from "./wire-mesh.ts";

const INGRESS = "ingress-id" as NetworkID;
const OVERLAY = "overlay-id" as NetworkID;
const NO_EVIDENCE: EndpointEvidence = { lost: new Set(), answering: new Set() };

function endpointOf(...ports: PortConfig[]): Endpoint {
  return { spec: { mode: "vip", ports }, ports, virtualIPs: [] };
}

function meshTask(init: TaskInit & { readonly address?: string }) {
  const { address = "10.255.0.9", ...rest } = init;
  const network = { id: INGRESS, name: "ingress" };
  return makeTask({
    serviceID: "web",
    nodeID: "n1",
    networksAttachments: [{ network, addresses: [`${address}/16`] }],
    ...rest,
  });
}

function inOverlay(address: string) {
  const network = { id: OVERLAY, name: "lan" };
  return { networksAttachments: [{ network, addresses: [`${address}/24`] }] };
}

async function storeWithMesh(): Promise<Store> {
  const store = createMemoryStore();
  await store.update((tx) => {
    tx.put("cluster", makeCluster({ id: "c" as ClusterID, dataPathPort: 4790 }));
    tx.put("network", makeNetwork({ id: INGRESS }));
    for (const [index, id] of ["n1", "n2"].entries()) {
      const ingressAddress = `10.255.0.${index + 2}`;
      const addr = `192.168.99.10${index}`;
      tx.put("node", makeNode({ id, index: index + 1, ingressAddress, addr }));
    }
    tx.put("service", makeService({ id: "web", name: "web", endpoint: endpointOf(makePort()) }));
  });
  return store;
}

const meshOf = (store: Store, evidence = NO_EVIDENCE) =>
  updateMesh(EMPTY_MESH, store.view(), evidence, "all");

async function endpointStateOf(
  init: TaskInit,
  nodeState: NodeState = "ready",
  evidence = NO_EVIDENCE,
): Promise<string | undefined> {
  const store = await storeWithMesh();
  await store.update((tx) => {
    const node = tx.get("node", "n1");
    assert.ok(node);
    tx.put("node", { ...node, status: { ...node.status, state: nodeState } });
    tx.put("task", meshTask({ id: "t1", ...init }));
  });
  return meshOf(store, evidence).services.get("web")?.endpoints[0]?.state;
}

test("the mesh is the network, its members and the services that publish into it", async () => {
  const store = await storeWithMesh();
  await store.update((tx) => {
    tx.put("task", meshTask({ id: "t1" }));
    tx.put("service", makeService({ id: "quiet", name: "quiet" }));
    tx.put("node", makeNode({ id: "new, without index" }));
  });
  const mesh = meshConfigOf(meshOf(store));
  assert.deepEqual(mesh.network, {
    name: "ingress",
    subnet: "10.255.0.0/16",
    vni: 4096,
    dataPathPort: 4790,
  });
  assert.deepEqual(mesh.nodes.map(({ nodeID }) => nodeID).toSorted(), ["n1", "n2"]);
  assert.deepEqual(
    mesh.nodes.find(({ nodeID }) => nodeID === "n2"),
    {
      nodeID: "n2",
      index: 2,
      underlayAddress: "192.168.99.101",
      overlayAddress: "10.255.0.3",
      addresses: [],
    },
  );
  assert.deepEqual(mesh.services, [
    {
      serviceID: "web",
      serviceName: "web",
      ports: [{ protocol: "tcp", publishedPort: 8080, targetPort: 80 }],
      endpoints: [{ taskID: "t1", address: "10.255.0.9", nodeIndex: 1, state: "live" }],
    },
  ]);
});

test("a node's tunnels end where it says, and it is reached at its address all the same", async () => {
  const store = await storeWithMesh();
  await store.update((tx) => {
    const node = tx.get("node", "n2") ?? assert.fail();
    tx.put("node", { ...node, status: { ...node.status, dataPathAddr: "10.1.0.2" } });
  });
  const nodes = meshOf(store).nodes;
  assert.equal(nodes.get("n2")?.underlayAddress, "192.168.99.101");
  assert.equal(nodes.get("n2")?.tunnelAddress, "10.1.0.2");
  assert.ok(!("tunnelAddress" in (nodes.get("n1") ?? {})));
  for (const node of nodes.values()) {
    assert.deepEqual(decodeMeshNode(encodeMeshNode(node)), node, "as it travels");
  }
});

test("a tunnel's ends are of one family: that of the managers' addresses", async () => {
  const store = await storeWithMesh();
  const membersWith = async (manager: string, worker: string) => {
    await store.update((tx) => {
      for (const [id, addr] of [
        ["n1", manager],
        ["n2", worker],
      ] as const) {
        const node = tx.get("node", id) ?? assert.fail();
        const managerStatus = { leader: true, reachability: "reachable", addr } as const;
        const role = id === "n1" ? { managerStatus } : {};
        tx.put("node", { ...node, status: { ...node.status, addr }, ...role });
      }
    });
    return [...meshOf(store).nodes.keys()].toSorted();
  };
  assert.deepEqual(await membersWith("fd00::1", "fd00::2"), ["n1", "n2"]);
  assert.deepEqual(await membersWith("fd00::1", "192.168.99.101"), ["n1"]);
  assert.deepEqual(await membersWith("192.168.99.100", "fd00::2"), ["n1"]);
  assert.deepEqual(await membersWith("fd00::1", "fe80::2"), ["n1"]);
});

test("an endpoint starts, is live, is draining, or is not there", async () => {
  const lost = { lost: new Set(["t1" as TaskID]), answering: new Set<TaskID>() };
  const answering = { lost: new Set<TaskID>(), answering: new Set(["t1" as TaskID]) };
  const rows: [string, TaskInit, NodeState, EndpointEvidence, string | undefined][] = [
    ["runs and is meant to", {}, "ready", NO_EVIDENCE, "live"],
    ["is to be stopped", { desiredState: "shutdown" }, "ready", NO_EVIDENCE, "draining"],
    ["is to be removed", { desiredState: "remove" }, "ready", NO_EVIDENCE, "draining"],
    ["starts", { state: "starting" }, "ready", NO_EVIDENCE, "starting"],
    ["was given to its node", { state: "assigned" }, "ready", NO_EVIDENCE, "starting"],
    ["waits for a node", { state: "pending" }, "ready", NO_EVIDENCE, undefined],
    ["starts on a node that is down", { state: "starting" }, "down", NO_EVIDENCE, undefined],
    [
      "starts and is to be stopped, and may be live by its node's word",
      { state: "starting", desiredState: "shutdown" },
      "ready",
      NO_EVIDENCE,
      "draining",
    ],
    ["has ended", { state: "shutdown" }, "ready", NO_EVIDENCE, undefined],
    ["is on a node in doubt", {}, "unknown", NO_EVIDENCE, "live"],
    ["is on a node in doubt and silent", {}, "unknown", lost, undefined],
    ["is on a node that is down", {}, "down", NO_EVIDENCE, undefined],
    ["answers, its node is down", {}, "down", answering, "draining"],
  ];
  for (const [name, task, node, evidence, expected] of rows) {
    assert.equal(await endpointStateOf(task, node, evidence), expected, name);
  }
});

test("host-mode ports and sctp are not the mesh's", async () => {
  const store = await storeWithMesh();
  const ports = [
    makePort({ publishMode: "host" }),
    makePort({ publishedPort: 53, protocol: "udp" }),
    makePort({ publishedPort: 90, protocol: "sctp" }),
  ];
  await store.update((tx) => {
    tx.put("service", makeService({ id: "web", name: "web", endpoint: endpointOf(...ports) }));
  });
  assert.deepEqual(meshOf(store).services.get("web")?.ports, [
    { protocol: "udp", publishedPort: 53, targetPort: 80 },
  ]);
});

test("host-mode ports are told of live tasks, as their nodes have them; a service is known before its first", async () => {
  const store = await storeWithMesh();
  const host = makePort({ publishMode: "host", publishedPort: 8081 });
  const told = () => meshOf(store).services.get("web")?.published;
  await store.update((tx) => {
    tx.put("service", makeService({ id: "web", name: "web", endpoint: endpointOf(host) }));
  });
  assert.equal(meshOf(store).services.get("web")?.serviceName, "web");
  assert.equal(told(), undefined);
  const status = { portStatus: { ports: [{ ...host, publishedPort: 32_001 }, makePort()] } };
  await store.update((tx) => {
    tx.put("task", meshTask({ id: "t1", status, networksAttachments: [] }));
    tx.put("task", meshTask({ id: "t2", status, state: "starting" }));
    tx.put("task", meshTask({ id: "t3", status, desiredState: "shutdown" }));
  });
  const expected = { protocol: "tcp", publishedPort: 32_001, targetPort: 80, nodeIndex: 1 };
  assert.deepEqual(told(), [{ taskID: "t1", ...expected }]);
  await store.update((tx) => {
    const node = tx.get("node", "n1");
    assert.ok(node);
    tx.put("node", { ...node, status: { ...node.status, state: "down" } });
  });
  assert.equal(told(), undefined);
  assert.equal(meshOf(store).nodes.get("n1")?.down, true);
  assert.equal(meshOf(store).nodes.get("n2")?.down, undefined);
});

test("a removed service answers nowhere, but what is connected to it can finish", async () => {
  const store = await storeWithMesh();
  await store.update((tx) => {
    tx.put("task", meshTask({ id: "t1", desiredState: "remove" }));
    tx.delete("service", "web");
  });
  const service = meshOf(store).services.get("web");
  assert.deepEqual(service?.ports, []);
  assert.equal(service?.endpoints[0]?.state, "draining");
});

test("evidence alone makes a new revision: a confirmation of the old one is none of the new", async () => {
  const store = await storeWithMesh();
  await store.update((tx) => tx.put("task", meshTask({ id: "t1" })));
  const before = meshOf(store);
  const lost = { lost: new Set(["t1" as TaskID]), answering: new Set<TaskID>() };
  const dirt = {
    nodeIDs: new Set<string>(),
    serviceIDs: new Set(["web"]),
    networkIDs: new Set<string>(),
  };
  const after = updateMesh(before, store.view(), lost, dirt);
  assert.ok(after.revision > before.revision);
  assert.equal(updateMesh(after, store.view(), lost, dirt), after);
});

const states = fc.constantFrom<TaskState>("assigned", "running", "shutdown");
const wishes = fc.constantFrom<TaskState>("running", "shutdown", "remove");
const nodeIDs = fc.constantFrom("n1", "n2", "n3");
const serviceIDs = fc.constantFrom("web", "api");
const steps = fc.oneof(
  fc.record({
    kind: fc.constant("task" as const),
    id: fc.constantFrom("t1", "t2", "t3"),
    state: states,
    desiredState: wishes,
    nodeID: nodeIDs,
    serviceID: serviceIDs,
    slot: fc.integer({ min: 1, max: 2 }),
  }),
  fc.record({ kind: fc.constant("taskGone" as const), id: fc.constantFrom("t1", "t2", "t3") }),
  fc.record({ kind: fc.constant("service" as const), id: serviceIDs, port: fc.nat(3) }),
  fc.record({ kind: fc.constant("serviceGone" as const), id: serviceIDs }),
  fc.record({
    kind: fc.constant("node" as const),
    id: nodeIDs,
    index: fc.integer({ min: 1, max: 3 }),
    state: fc.constantFrom<NodeState>("ready", "down", "unknown"),
  }),
  fc.record({ kind: fc.constant("nodeGone" as const), id: nodeIDs }),
  fc.record({ kind: fc.constant("network" as const), there: fc.boolean() }),
);
type Step = typeof steps extends fc.Arbitrary<infer T> ? T : never;

async function take(store: Store, step: Step): Promise<void> {
  await store.update((tx) => {
    switch (step.kind) {
      case "task":
        tx.put("task", meshTask({ ...step, ...(step.slot === 1 ? {} : inOverlay("10.0.1.7")) }));
        break;
      case "taskGone":
        tx.delete("task", step.id);
        break;
      case "service": {
        const endpoint = endpointOf(makePort({ publishedPort: 8080 + step.port }));
        const networks = step.port === 0 ? [] : [{ target: "lan", aliases: [`a${step.port}`] }];
        const init = { id: step.id, name: step.id, endpoint, task: { networks } };
        tx.put("service", makeService(init));
        break;
      }
      case "serviceGone":
        tx.delete("service", step.id);
        break;
      case "node": {
        const { id, index, state } = step;
        tx.put("node", makeNode({ id, index, state, ingressAddress: `10.255.1.${index}` }));
        break;
      }
      case "nodeGone":
        tx.delete("node", step.id);
        break;
      case "network":
        if (step.there) tx.put("network", makeNetwork({ id: INGRESS }));
        else tx.delete("network", INGRESS);
    }
  });
}

const contentOf = ({ network, nodes, services, overlays }: MeshTable) => ({
  ...{ network, nodes, services, overlays },
});

test("kept up to date by what changed, it is what it would be made anew; so is what nodes make of the changes", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(steps, { maxLength: 4 }), { maxLength: 6 }),
      async (runs) => {
        const store = await storeWithMesh();
        await store.update((tx) => tx.put("network", makeOverlay({ id: OVERLAY, name: "lan" })));
        const dirt = new Dirt();
        store.subscribe((event) => {
          for (const change of event.changes) {
            dirt.markChange(change);
            if (change.kind === "node") dirt.markNode(change.object.id, store.view());
          }
        });
        let mesh = meshOf(store);
        for (const run of runs) {
          for (const step of run) await take(store, step);
          const before = mesh;
          mesh = updateMesh(before, store.view(), NO_EVIDENCE, dirt.take().mesh);
          assert.deepEqual(contentOf(mesh), contentOf(meshOf(store)));
          const delta = diffMesh(before, mesh);
          assert.deepEqual(
            applyDelta(before.services, delta.services, ({ serviceID }) => serviceID),
            mesh.services,
          );
          assert.deepEqual(
            applyDelta(before.nodes, delta.nodes, ({ nodeID }) => nodeID),
            mesh.nodes,
          );
        }
      },
    ),
    { numRuns: 60 },
  );
});
