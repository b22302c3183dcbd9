import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { silentLogger } from "../base/logger.ts";
import type { OverlayNetwork } from "../datapath/overlay/view.ts";
import type { MeshConfig } from "../dispatcher/assignment.ts";
import { makeMesh, makeTask } from "./fakes.ts";
import { MemoryFile } from "./memory.ts";

test("what a node remembers is its own: what another membership has left is not gone on with", async () => {
  const directory = mkdtempSync(join(tmpdir(), "weft-memory-"));
  try {
    const memory = { tasks: [], statuses: {} };
    const open = (nodeID: string) =>
      new MemoryFile({
        nodeID,
        path: join(directory, "agent", "memory.json"),
        log: silentLogger,
        snapshot: () => memory,
      });
    const first = open("first");
    first.markDirty();
    await first.stop();
    assert.deepEqual((await open("first").read())?.tasks, []);
    assert.equal(await open("second").read(), undefined);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("a mesh comes back as it was told last, what changed of it and what did not", async () => {
  const directory = mkdtempSync(join(tmpdir(), "weft-memory-"));
  try {
    const first = {
      ...makeMesh(7, [80, 443], ["t1", "t2"]),
      networks: [LAN, { ...LAN, vni: 4_098 }],
    };
    let mesh: MeshConfig = first;
    const task = makeTask("t1");
    const file = new MemoryFile({
      nodeID: "n1",
      path: join(directory, "agent", "memory.json"),
      log: silentLogger,
      snapshot: () => ({ tasks: [task], statuses: { t1: task.status }, mesh }),
    });
    const written = async () => {
      file.markDirty();
      await file.idle();
      return await file.read();
    };
    const { tasks, statuses, mesh: told } = (await written()) ?? {};
    assert.deepEqual(plain({ tasks, statuses, told }), {
      ...{ tasks: [plain(task)], statuses: { t1: plain(task.status) } },
      told: plain(mesh),
    });
    const services = first.services.map((service) => ({ ...service, serviceName: "other" }));
    mesh = { ...first, revision: 8, services, networks: [{ ...LAN, name: 'a "name"' }] };
    assert.deepEqual(plain((await written())?.mesh), plain(mesh));
    await file.stop();
  } finally {
    rmSync(directory, { recursive: true });
  }
});

const LAN: OverlayNetwork = {
  ...{ networkID: "lan", name: "lan", vni: 4_097, internal: false, subnets: ["10.0.1.0/24"] },
  ...{ services: [], containers: [] },
};

/** As JSON has it. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value ?? null));
}
