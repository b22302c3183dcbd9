import assert from "node:assert/strict";
import { test } from "node:test";
import type { TaskStatus } from "../cluster/objects.ts";
import type { MeshConfig } from "../dispatcher/assignment.ts";
import { addressOf, makeMesh, makeTask } from "./fakes.ts";
import { type OwnEndpointFacts, ownEndpoints, READY_MS } from "./own-endpoints.ts";
import { ToldEndpoints } from "./told-endpoints.ts";

const NOW = Date.parse("2026-01-01T00:00:00Z");

function meshWith(state: "starting" | "live"): MeshConfig {
  const mesh = makeMesh(1, [8080], ["t1"]);
  return {
    ...mesh,
    services: mesh.services.map((service) => ({
      ...service,
      endpoints: service.endpoints.map((endpoint) => ({ ...endpoint, state })),
    })),
  };
}

function words(
  state: "starting" | "live",
  status: Partial<TaskStatus>,
  { gone = [], nodeID = "node-1" }: Partial<OwnEndpointFacts> = {},
): string[] {
  const mesh = meshWith(state);
  const task = makeTask("t1");
  const said = ownEndpoints({
    ...{ nodeID, mesh, gone, now: NOW, starting: new ToldEndpoints(mesh).starting },
    tasks: [{ task, status: { ...task.status, ...status } }],
  });
  return said.map(({ taskID, word }) => `${taskID} ${word}`);
}

const at = (agoMs: number) => new Date(NOW - agoMs).toISOString();
const RUNS = { state: "running", timestamp: at(READY_MS) } as const;

test("a node says of its own endpoints what managers may not know", () => {
  const rows: [string, string[], string[]][] = [
    ["starts", words("starting", { state: "starting" }), []],
    ["runs, and managers do not know", words("starting", RUNS), ["t1 ready"]],
    ["runs for long, and managers know", words("live", RUNS), []],
    ["has just begun", words("live", { ...RUNS, timestamp: at(READY_MS - 1) }), ["t1 ready"]],
    ["is unhealthy", words("live", { ...RUNS, unhealthy: true }), ["t1 draining"]],
    ["is unhealthy at once", words("starting", { ...RUNS, unhealthy: true }), ["t1 draining"]],
    ["has lost its link", words("live", RUNS, { gone: ["t1"] }), ["t1 gone"]],
    ["has ended before managers knew of it", words("starting", { state: "failed" }), ["t1 gone"]],
    ["has ended, and its link is still there", words("live", { state: "failed" }), []],
    ["is another node's", words("starting", { state: "failed" }, { nodeID: "node-2" }), []],
  ];
  for (const [name, actual, expected] of rows) assert.deepEqual(actual, expected, name);
});

test("with its addresses, their networks, and the host-mode ports that it really has", () => {
  const mesh = meshWith("starting");
  const network = { id: "o1", name: "back", overlay: true };
  const overlay = { networkID: "o1", name: "back", vni: 4_097, subnets: [], internal: false };
  const task = makeTask("t1");
  const attachments = [...task.networksAttachments, { network, addresses: ["10.0.9.7/24"] }];
  const port = { protocol: "udp", targetPort: 53, publishMode: "host" } as const;
  const ports = [
    { ...port, publishedPort: 32_001 },
    { ...port, publishMode: "ingress" as const, publishedPort: 53 },
  ];
  const [said] = ownEndpoints({
    ...{ nodeID: "node-1", gone: [], now: NOW, starting: new ToldEndpoints(mesh).starting },
    mesh: { ...mesh, networks: [{ ...overlay, services: [], containers: [] }] },
    tasks: [
      {
        task: { ...task, networksAttachments: attachments } as typeof task,
        status: { ...task.status, ...RUNS, portStatus: { ports }, ipv6Ports: ["tcp/80"] },
      },
    ],
  });
  assert.deepEqual(said?.places, [
    { vni: 4_096, address: addressOf("t1") },
    { vni: 4_097, address: "10.0.9.7" },
  ]);
  assert.deepEqual(said?.ipv6Ports, ["tcp/80"]);
  assert.deepEqual(said?.ports, [{ protocol: "udp", publishedPort: 32_001, targetPort: 53 }]);
});
