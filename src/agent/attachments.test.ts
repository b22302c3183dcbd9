import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { FakeClock } from "../base/clock.ts";
import { silentLogger } from "../base/logger.ts";
import type { AttachmentDesk, MeshConfig } from "../dispatcher/assignment.ts";
import { FakeRuntime } from "../runtime/fake/fake-runtime.ts";
import { NodeAttachments } from "./attachments.ts";
import { makeMesh } from "./fakes.ts";

const PLACE = {
  ...{ attachmentID: "a1", networkID: "lan-id", networkName: "lan" },
  addresses: ["10.7.0.5"],
};
const REQUEST = { network: "lan", containerName: "mine", aliases: [] };

/** The mesh as it is told once the place is given, and whether this node has it. */
function meshWith(...ids: readonly string[]): MeshConfig {
  const container = (taskID: string, nodeIndex: number) => ({
    ...{ taskID, taskName: "mine", aliases: [], addresses: ["10.7.0.5"], nodeIndex },
    state: "live" as const,
  });
  const lan = {
    ...{ networkID: "lan-id", name: "lan", vni: 4097, subnets: ["10.7.0.0/24"], internal: false },
    services: [],
    containers: [container("other", 2), ...ids.map((id) => container(id, 1))],
  };
  return { ...makeMesh(1), networks: [lan] };
}

let mesh: MeshConfig;
let clock: FakeClock;
let runtime: FakeRuntime;
let released: string[];
let attachments: NodeAttachments;

beforeEach(() => {
  mesh = meshWith();
  clock = new FakeClock();
  runtime = new FakeRuntime();
  released = [];
  attachments = new NodeAttachments({
    ...{ nodeID: "node-1", runtime, clock, log: silentLogger },
    mesh: () => mesh,
  });
});
afterEach(() => attachments.stop());

const desk = (answer: () => Promise<typeof PLACE>): AttachmentDesk => ({
  attach: answer,
  detach: (ids) => void released.push(...ids),
});

async function settled(): Promise<readonly string[]> {
  await attachments.idle();
  return released;
}

test("a place is kept until its container could be there, and given back when none is", async () => {
  attachments.setDesk(desk(async () => PLACE));
  mesh = meshWith("a1");
  assert.deepEqual(await attachments.attach(REQUEST), PLACE);
  assert.deepEqual([...runtime.networks.keys()], ["lan"]);
  attachments.markDirty();
  assert.deepEqual(await settled(), []);
  attachments.settle("a1");
  assert.deepEqual(await settled(), ["a1"], "another node's is left alone");
});

test("a place that the mesh knows before its answer has come is not given back", async () => {
  const answer = Promise.withResolvers<typeof PLACE>();
  attachments.setDesk(desk(() => answer.promise));
  const asked = attachments.attach(REQUEST);
  mesh = meshWith("a1");
  attachments.markDirty();
  assert.deepEqual(await settled(), []);
  answer.resolve(PLACE);
  await asked;
  assert.deepEqual(await settled(), []);
});

test("a container that has the address keeps the place, running or not, until it is removed", async () => {
  attachments.setDesk(desk(async () => PLACE));
  mesh = meshWith("a1");
  await attachments.attach(REQUEST);
  const networks = [{ name: "lan", addresses: ["10.7.0.5"] }];
  const config = { name: "mine", taskID: "t", image: "nginx", labels: {}, env: [], mounts: [] };
  const containerID = await runtime.create({ ...config, stopGraceMs: 0, networks });
  attachments.settle("a1");
  assert.deepEqual(await settled(), []);
  await runtime.remove(containerID);
  clock.advance(10_000);
  assert.deepEqual(await settled(), ["a1"]);
});

test("a place whose container nobody settled is looked at all the same", async () => {
  attachments.setDesk(desk(async () => PLACE));
  mesh = meshWith("a1");
  await attachments.attach(REQUEST);
  clock.advance(60_000);
  assert.deepEqual(new Set(await settled()), new Set(["a1"]));
});

test("networks are known by name, id and the beginning of an id", () => {
  assert.equal(attachments.localName("lan"), "lan");
  assert.equal(attachments.localName("lan-id"), "lan");
  assert.equal(attachments.localName("lan-"), "lan");
  assert.equal(attachments.localName("wan"), undefined);
});
