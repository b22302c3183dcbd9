/** Overlay networks over real sessions: told to their members alone, and confirmed as published endpoints are. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary } from "@bufbuild/protobuf";
import { MeshInbox } from "../agent/session-inbox.ts";
import { Allocator } from "../allocator/allocator.ts";
import { systemClock } from "../base/clock.ts";
import type { NetworkID, TaskID } from "../base/ids.ts";
import { silentLogger } from "../base/logger.ts";
import {
  makeAttachment,
  makeNetwork,
  makeNode,
  makeOverlay,
  makeService,
  makeTask,
} from "../cluster/factories.ts";
import type { Task } from "../cluster/objects.ts";
import { createMemoryStore } from "../cluster/open-store.ts";
import type { OverlayNetwork } from "../datapath/overlay/view.ts";
import { ManagerFrameSchema, type Mesh, type Overlay, OverlaySchema } from "./gen/weft_pb.ts";
import { eventually, type LoopbackAgent, LoopbackCluster } from "./loopback-cluster.ts";
import { EMPTY_MESH, type MeshTable, meshConfigOf, updateMesh } from "./mesh.ts";
import { meshFrames, TOLD_NOTHING, type ToldMesh } from "./mesh-frames.ts";
import { applyOverlay } from "./wire-overlay.ts";

const LAN = "lan-id" as NetworkID;

function lanTask(id: string, nodeID: string, serviceID = "web", at = 5): Task {
  const network = { id: LAN, name: "lan" };
  return makeTask({
    ...{ id, nodeID, serviceID },
    networksAttachments: [{ network, addresses: [`10.0.1.${at}/24`] }],
  });
}

async function prepare(cluster: LoopbackCluster, agents: readonly LoopbackAgent[]): Promise<void> {
  await cluster.store.update((tx) => {
    tx.put("network", makeNetwork({ id: "ingress-id" }));
    tx.put("network", makeOverlay({ id: LAN, name: "lan" }));
    tx.put(
      "service",
      makeService({
        ...{ id: "web", name: "web" },
        task: { networks: [{ target: LAN, aliases: ["www"] }] },
        endpoint: {
          spec: { mode: "vip", ports: [] },
          ports: [],
          virtualIPs: [{ networkID: LAN, addr: "10.0.1.2/24" }],
        },
      }),
    );
    for (const [at, agent] of agents.entries()) {
      const node = tx.get("node", agent.nodeID);
      assert.ok(node);
      tx.put("node", { ...node, index: at + 1, ingressAddress: `10.255.0.${at + 2}` });
    }
  });
}

const lanOf = (agent: LoopbackAgent): OverlayNetwork | undefined => agent.mesh?.networks[0];
const stateOf = (agent: LoopbackAgent) => lanOf(agent)?.services[0]?.endpoints[0]?.state;

test("a network is told to nodes that have a task in it, with all its services, and to nobody else", async () => {
  await using cluster = await LoopbackCluster.start();
  const [one, two] = [await cluster.startAgent("n1"), await cluster.startAgent("n2")];
  await prepare(cluster, [one, two]);
  await cluster.store.update((tx) => tx.put("task", lanTask("t1", one.nodeID)));
  await eventually("told", () => stateOf(one) === "live");
  assert.deepEqual(one.mesh?.networks, [
    {
      networkID: LAN,
      name: "lan",
      vni: 4097,
      subnets: ["10.0.1.0/24"],
      internal: false,
      services: [
        {
          serviceID: "web",
          serviceName: "web",
          aliases: ["www"],
          virtualIPs: ["10.0.1.2"],
          endpoints: [
            {
              taskID: "t1",
              taskName: "web.1.t1",
              aliases: [],
              addresses: ["10.0.1.5"],
              nodeIndex: 1,
              state: "live",
            },
          ],
        },
      ],
      containers: [],
    },
  ]);
  await cluster.store.update((tx) => tx.put("task", lanTask("t2", two.nodeID, "api", 6)));
  await eventually("both services", () => lanOf(two)?.services.length === 2);
  await cluster.store.update((tx) => {
    const task = tx.get("task", "t2");
    assert.ok(task);
    tx.put("task", { ...task, status: { ...task.status, state: "complete" } });
  });
  await eventually("forgotten", () => two.mesh?.networks.length === 0);
  await eventually("other's end", () => lanOf(one)?.services.length === 1);
});

test("a task in a network is told to stop when the network's nodes have confirmed; others need not", async () => {
  await using cluster = await LoopbackCluster.start();
  const agents = [
    await cluster.startAgent("n1"),
    await cluster.startAgent("n2"),
    await cluster.startAgent("n3"),
  ] as const;
  const [one, two, three] = agents;
  await prepare(cluster, agents);
  await cluster.store.update((tx) => {
    tx.put("task", lanTask("t1", one.nodeID));
    tx.put("task", lanTask("t2", two.nodeID, "api", 6));
  });
  for (const agent of [one, two]) {
    await eventually("both", () => lanOf(agent)?.services.length === 2);
  }
  // Each member's own words come with its session: after them nothing more is to be told to a stranger.
  await eventually(
    "the stranger has the members",
    () => three.mesh?.nodes.filter(({ addresses }) => addresses.length > 0).length === 3,
  );
  two.applies = false;
  three.applies = false;
  await cluster.store.update((tx) => {
    const task = tx.get("task", "t1");
    assert.ok(task);
    tx.put("task", { ...task, desiredState: "shutdown" });
  });
  await eventually("draining", () => stateOf(two) === "draining");
  const marker = makeTask({ id: "marker", nodeID: one.nodeID, state: "assigned" });
  await cluster.store.update((tx) => tx.put("task", marker));
  await eventually("marker", () => one.tasks.length === 2);
  const desired = () => one.tasks.find(({ task }) => task.id === "t1")?.task.desiredState;
  assert.equal(desired(), "running");
  two.session.reportApplied(two.mesh?.revision ?? 0);
  await eventually("told to stop", () => desired() === "shutdown");
});

test("a change of one service is told as that service", async () => {
  const store = createMemoryStore();
  await store.update((tx) => {
    tx.put("network", makeOverlay({ id: LAN, name: "lan" }));
    for (let at = 0; at < 50; at++) {
      const networks = [{ target: LAN }];
      tx.put("service", makeService({ id: `s${at}`, name: `s${at}`, task: { networks } }));
    }
  });
  const none = { lost: new Set<never>(), answering: new Set<never>() };
  const before = updateMesh(EMPTY_MESH, store.view(), none, "all");
  await store.update((tx) => {
    tx.put(
      "service",
      makeService({ id: "s7", name: "s7", task: { networks: [{ target: LAN, aliases: ["x"] }] } }),
    );
  });
  const dirt = {
    nodeIDs: new Set<string>(),
    networkIDs: new Set<string>(),
    serviceIDs: new Set(["s7"]),
  };
  const after = updateMesh(before, store.view(), none, dirt);
  const told = (mesh: MeshTable): ToldMesh => ({ mesh, overlays: mesh.overlays.tables });
  const frames = meshFrames(told(before), told(after)).map(
    (bytes) => fromBinary(ManagerFrameSchema, bytes).kind,
  );
  assert.deepEqual(
    frames.map(({ case: kind }) => kind),
    ["overlay", "mesh"],
  );
  const overlay = frames[0]?.value as Overlay;
  assert.deepEqual(
    overlay.putServices.map(({ serviceId }) => serviceId),
    ["s7"],
  );
  const inbox = new MeshInbox();
  let sequence = 0;
  for (const bytes of [
    ...meshFrames(TOLD_NOTHING, told(before)),
    ...meshFrames(told(before), told(after)),
  ]) {
    const { kind } = fromBinary(ManagerFrameSchema, bytes);
    sequence += 1;
    const received =
      kind.case === "overlay"
        ? inbox.receiveOverlay(kind.value, sequence)
        : inbox.receive(kind.value as Mesh, sequence);
    if (received.kind === "set" && sequence > 3)
      assert.deepEqual(received.value.networks, meshConfigOf(after).networks);
  }
});

test("a change of a network that was never told is refused, so that all of it is asked for", () => {
  const change = create(OverlaySchema, { networkId: LAN, removeServices: ["s"] });
  assert.throws(() => applyOverlay(undefined, change), /never told of/);
  const network = { name: "lan", vni: 4097, subnets: ["10.0.1.0/24"], internal: false };
  const whole = create(OverlaySchema, { networkId: LAN, complete: true, network });
  assert.equal(applyOverlay(applyOverlay(undefined, whole), change)?.services.size, 0);
});

test("a place for a container of a user's own is given over the session, told to members, and given back", async () => {
  await using cluster = await LoopbackCluster.start();
  const [one, two] = [await cluster.startAgent("n1"), await cluster.startAgent("n2")];
  await prepare(cluster, [one, two]);
  await cluster.store.update((tx) => {
    tx.put("network", makeOverlay({ id: "open-id", name: "open", spec: { attachable: true } }));
    tx.put("task", lanTask("t1", two.nodeID));
  });
  await eventually("sessions", () => one.mesh?.nodes.length === 2);
  const allocator = new Allocator({ store: cluster.store, clock: systemClock, log: silentLogger });
  allocator.start();
  const ask = (network: string, address?: string) =>
    one.session.attach({
      ...{ network, containerName: "mine", aliases: ["m"] },
      ...(address === undefined ? {} : { address }),
    });
  await assert.rejects(ask("lan"), /PermissionDenied desc = network lan not manually attachable/);
  await assert.rejects(ask("none"), /network none not found/);
  await assert.rejects(ask("open", "10.9.9.9"), /address 10\.9\.9\.9 is in use, or not of network/);
  await assert.rejects(ask("open", "x"), /invalid IPv4 address/);
  const place = await ask("open", "10.0.1.77");
  assert.deepEqual([place.networkName, place.addresses], ["open", ["10.0.1.77"]]);
  const open = () => one.mesh?.networks.find(({ name }) => name === "open");
  assert.deepEqual(open()?.containers, [
    {
      taskID: place.attachmentID,
      taskName: "mine",
      aliases: ["m"],
      addresses: ["10.0.1.77"],
      nodeIndex: 1,
      state: "live",
    },
  ]);
  await assert.rejects(ask("open", "10.0.1.77"), /is in use/);
  two.session.detach([place.attachmentID]);
  one.session.detach([place.attachmentID]);
  await eventually("given back", () => open() === undefined);
  assert.deepEqual(cluster.store.view().list("attachment"), []);
  await allocator.stop();
});

test("a user's container is there for as long as its host answers, whatever became of its daemon", async () => {
  const store = createMemoryStore();
  await store.update((tx) => {
    tx.put("network", makeOverlay({ id: LAN, name: "lan" }));
    tx.put("node", makeNode({ id: "n1", index: 1, state: "down" }));
    const addresses = ["10.0.1.9/24"];
    tx.put("attachment", makeAttachment({ id: "mine", networkID: LAN, addresses }));
  });
  const isThere = (lost: readonly string[], answering: readonly string[]) => {
    const [gone, there] = [lost, answering].map((ids) => new Set(ids as readonly TaskID[]));
    const evidence = { lost: gone ?? new Set(), answering: there ?? new Set() };
    const { overlays } = updateMesh(EMPTY_MESH, store.view(), evidence, "all");
    return overlays.tables.get(LAN)?.containers.has("mine");
  };
  assert.equal(isThere([], []), false);
  assert.equal(isThere([], ["mine"]), true);
  await store.update((tx) => tx.put("node", makeNode({ id: "n1", index: 1 })));
  assert.equal(isThere([], []), true);
  assert.equal(isThere(["mine"], []), false);
});
