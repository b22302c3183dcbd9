import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { makeTask } from "../cluster/factories.ts";
import type { TaskState } from "../cluster/objects.ts";
import type { OverlayEndpoint } from "../datapath/overlay/view.ts";
import type { MeshNode, MeshService } from "../datapath/view.ts";
import { AssignmentsSchema, MeshSchema } from "../dispatcher/gen/weft_pb.ts";
import { diffOverlay, type OverlayTable } from "../dispatcher/overlays.ts";
import { encodeMeshNode, encodeMeshService } from "../dispatcher/wire-mesh.ts";
import { encodeAssignment } from "../dispatcher/wire-objects.ts";
import { encodeOverlay } from "../dispatcher/wire-overlay.ts";
import { correctedMesh, type EndpointOverrides } from "./corrected-mesh.ts";
import { networkNames } from "./names.ts";
import { AssignmentsInbox, MeshInbox } from "./session-inbox.ts";
import { MeshSieve } from "./sound-mesh.ts";

const put = (id: string, desiredState: TaskState = "running") =>
  encodeAssignment({ task: makeTask({ id, desiredState }) });

function idsOf(received: ReturnType<AssignmentsInbox["receive"]>): string[] | string {
  return received.kind === "set" ? received.value.tasks.map(({ task }) => task.id) : received.kind;
}

test("a set counts when its last frame has come", () => {
  const inbox = new AssignmentsInbox();
  const first = create(AssignmentsSchema, { complete: true, more: true, put: [put("t1")] });
  const last = create(AssignmentsSchema, { put: [put("t2")] });
  assert.equal(idsOf(inbox.receive(first, 1)), "partial");
  assert.deepEqual(idsOf(inbox.receive(last, 2)), ["t1", "t2"]);
  const change = create(AssignmentsSchema, { remove: ["t1"] });
  assert.deepEqual(idsOf(inbox.receive(change, 3)), ["t2"]);
});

test("a missing frame is a gap until the complete set comes again", () => {
  const inbox = new AssignmentsInbox();
  const change = create(AssignmentsSchema, { put: [put("t2")] });
  assert.equal(idsOf(inbox.receive(change, 1)), "gap", "a change of nothing");
  const complete = create(AssignmentsSchema, { complete: true, put: [put("t1")] });
  assert.deepEqual(idsOf(inbox.receive(complete, 1)), ["t1"]);
  assert.equal(idsOf(inbox.receive(change, 3)), "gap");
  assert.equal(idsOf(inbox.receive(change, 4)), "partial", "asked for once");
  assert.deepEqual(idsOf(inbox.receive(complete, 5)), ["t1"]);
  assert.deepEqual(idsOf(inbox.receive(change, 6)), ["t1", "t2"]);
});

test("the mesh is whole again after a gap too", () => {
  const inbox = new MeshInbox();
  const service = { serviceId: "web", serviceName: "web" };
  const complete = create(MeshSchema, { complete: true, revision: 7n, putServices: [service] });
  const change = create(MeshSchema, { revision: 9n, removeServices: ["web"] });
  assert.equal(inbox.receive(complete, 1).kind, "set");
  assert.equal(inbox.receive(change, 3).kind, "gap");
  assert.equal(inbox.receive(complete, 4).kind, "set");
  const received = inbox.receive(change, 5);
  const value = { revision: 9, nodes: [], services: [], networks: [] };
  assert.deepEqual(received, { kind: "set", value });
});

test("nodes and services arrive as they were sent", () => {
  const node: MeshNode = {
    ...{ nodeID: "n1", index: 1, underlayAddress: "192.168.99.100", overlayAddress: "10.255.0.2" },
    addresses: ["192.168.99.100"],
    down: true,
  };
  const task = { taskID: "t1", protocol: "udp", publishedPort: 53, targetPort: 53 } as const;
  const service: MeshService = {
    ...{ serviceID: "s", serviceName: "dns", ports: [], endpoints: [] },
    published: [{ ...task, nodeIndex: 1 }],
  };
  const putNodes = [encodeMeshNode(node)];
  const putServices = [encodeMeshService(service)];
  const frame = create(MeshSchema, { complete: true, revision: 7n, putNodes, putServices });
  const value = { revision: 7, nodes: [node], services: [service], networks: [] };
  assert.deepEqual(new MeshInbox().receive(frame, 1), { kind: "set", value });
});

test("a change of one network leaves all others the very same, down to their names", () => {
  const inbox = new MeshInbox();
  const sieve = new MeshSieve();
  const network = (id: string, vni: number) => ({ networkID: id, name: id, vni, internal: false });
  const endpoint = (taskID: string): OverlayEndpoint => ({
    ...{ taskID, taskName: taskID, aliases: [], addresses: ["10.0.1.5"] },
    ...{ nodeIndex: 1, state: "live" },
  });
  const tableOf = (id: string, vni: number, ...tasks: string[]): OverlayTable => ({
    head: { ...network(id, vni), subnets: ["10.0.1.0/24"] },
    services: new Map(),
    containers: new Map(tasks.map((taskID) => [taskID, endpoint(taskID)])),
  });
  let sequence = 0;
  const receive = (...tables: readonly (readonly [OverlayTable | undefined, OverlayTable])[]) => {
    for (const [before, after] of tables) {
      const delta = diffOverlay(after.head.networkID, before, after);
      assert.ok(delta);
      inbox.receiveOverlay(encodeOverlay(delta), ++sequence);
    }
    const received = inbox.receive(create(MeshSchema, { revision: 9n }), ++sequence);
    assert.ok(received.kind === "set");
    // A task elsewhere that its node has said to be gone.
    const { networks } = correctedMesh(sieve.sift(received.value).mesh, GONE);
    return networks.map((one) => ({ network: one, names: networkNames(one) }));
  };
  inbox.receive(create(MeshSchema, { complete: true, more: true }), ++sequence);
  const [one, two] = [tableOf("one", 4_097, "t1", "t2"), tableOf("two", 4_098, "t3", "t4")];
  const before = receive([undefined, one], [undefined, two]);
  const after = receive([two, tableOf("two", 4_098, "t3", "t5")]);
  assert.deepEqual(before.length, 2);
  assert.equal(after[0]?.network, before[0]?.network);
  assert.equal(after[0]?.names, before[0]?.names);
  assert.deepEqual(
    after.map(({ network: { containers } }) => containers.map(({ taskID }) => taskID)),
    [["t1"], ["t3", "t5"]],
  );
});

const GONE: EndpointOverrides = new Map([["t2", { word: "gone" }]]);

test("a task that was told to stop is not called back, in this session or the next", () => {
  const inbox = new AssignmentsInbox();
  const frame = (state: TaskState) =>
    create(AssignmentsSchema, { complete: true, put: [put("t1", state)] });
  const desired = (received: ReturnType<AssignmentsInbox["receive"]>) =>
    received.kind === "set" ? received.value.tasks[0]?.task.desiredState : received.kind;
  assert.equal(desired(inbox.receive(frame("running"), 1)), "running");
  assert.equal(desired(inbox.receive(frame("shutdown"), 2)), "shutdown");
  assert.equal(desired(inbox.receive(frame("running"), 3)), "shutdown");
  inbox.restart();
  assert.equal(desired(inbox.receive(frame("running"), 1)), "shutdown");
  assert.equal(desired(inbox.receive(frame("remove"), 2)), "remove");
});
