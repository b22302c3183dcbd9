import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import type { NetworkID } from "../base/ids.ts";
import { FakeNode } from "./fake-node.ts";
import { addressOf, makeMesh, makeTask } from "./fakes.ts";
import { placesOf } from "./link-watch.ts";
import { CUT_OFF } from "./task-step.ts";

async function withNode(use: (node: FakeNode) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "weft-link-watch-"));
  const node = new FakeNode(directory);
  try {
    await node.start();
    node.agent.onMesh(makeMesh(1, [8080], ["t1", "t2"]));
    await node.assign(makeTask("t1"), makeTask("t2"));
    await use(node);
  } finally {
    await node.agent.stop();
    rmSync(directory, { recursive: true });
  }
}

async function look(node: FakeNode): Promise<void> {
  node.clock.advance(500);
  await node.settle();
}

it("a task whose link was deleted fails with a plain message, and its container is stopped", async () => {
  await withNode(async (node) => {
    node.datapath.lost = [addressOf("t1")];
    await look(node);
    assert.equal(node.reporter.statesOf("t1").at(-1), "running");
    await look(node);
    assert.equal(node.reporter.said.filter((said) => said === `t1 failed: ${CUT_OFF}`).length, 1);
    assert.equal(node.phaseOf("t1"), "exited");
    assert.equal(node.reporter.statesOf("t2").at(-1), "running");
    assert.equal(node.phaseOf("t2"), "running");
  });
});

it("a task whose link is away for a moment runs on", async () => {
  await withNode(async (node) => {
    for (const lost of [[addressOf("t1")], [], [addressOf("t1")], []]) {
      node.datapath.lost = lost;
      await look(node);
    }
    assert.equal(node.reporter.statesOf("t1").at(-1), "running");
  });
});

it("a task that ended by itself is told as such, though its link went first", async () => {
  await withNode(async (node) => {
    node.datapath.lost = [addressOf("t1")];
    await look(node);
    node.runtime.exit("t1", 0);
    await look(node);
    assert.equal(node.reporter.statesOf("t1").at(-1), "complete");
  });
});

it("a task has a place in each of its networks, and an address alone is none in an overlay network", () => {
  const task = makeTask("t1");
  const overlay = { id: "net1" as NetworkID, name: "app", overlay: true as const };
  const networksAttachments = [
    ...task.networksAttachments,
    { network: overlay, addresses: ["10.0.1.5/24", "fd00:1::5/64"] },
  ];
  const mesh = makeMesh(1, [8080], ["t1"]);
  const network = { networkID: "net1", name: "app", vni: 4097, subnets: [], internal: false };
  const told = { ...mesh, networks: [{ ...network, services: [], containers: [] }] };
  const both = { ...task, networksAttachments };
  assert.deepEqual(placesOf(both, told), [addressOf("t1"), "4097/10.0.1.5"]);
  assert.deepEqual(placesOf(both, mesh), [addressOf("t1")]);
});
