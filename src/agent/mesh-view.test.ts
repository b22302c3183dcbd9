import assert from "node:assert/strict";
import { it } from "node:test";
import type { OverlayEndpoint, OverlayNetwork } from "../datapath/overlay/view.ts";
import type { MeshConfig } from "../dispatcher/assignment.ts";
import { correctedMesh } from "./corrected-mesh.ts";
import { addressOf, makeMesh } from "./fakes.ts";
import {
  goneEndpoints,
  type MeshFacts,
  meshPortsOf,
  meshView,
  placelessPorts,
} from "./mesh-view.ts";

const endpoint = (address: string, state: "created" | "joined") => ({
  networkID: "net",
  endpointID: address,
  address,
  link: `wv${address}`,
  state,
});

function facts(overrides: Partial<MeshFacts> = {}): MeshFacts {
  return {
    nodeID: "node-1",
    mesh: correctedMesh(makeMesh(5, [8080], ["t1", "t2"]), new Map()),
    hostPorts: [],
    endpoints: [endpoint(addressOf("t1"), "joined"), endpoint(addressOf("t2"), "created")],
    heldPorts: new Set(["tcp/8080"]),
    ...overrides,
  };
}

it("is what managers told, seen from this node", () => {
  const view = meshView(facts());
  assert.equal(view?.revision, 5);
  assert.equal(view?.self.nodeID, "node-1");
  assert.deepEqual(
    view?.peers.map(({ nodeID }) => nodeID),
    ["node-2"],
  );
  assert.equal(view?.subnet, "10.0.0.0/24");
});

it("has links of joined endpoints only, and no local endpoint without its link", () => {
  const view = meshView(facts());
  assert.deepEqual(view?.localLinks, [{ address: "10.0.0.1", link: "wv10.0.0.1" }]);
  assert.deepEqual(
    view?.services[0]?.endpoints.map(({ taskID }) => taskID),
    ["t1"],
  );
});

it("has the very same services for as long as nothing of them changes, whatever else does", () => {
  const mesh = makeMesh(5, [8080, 8081], ["t1"]);
  const publishDefault = ["192.168.99.0/24"];
  const other = new Map([["t9", { word: "gone" as const }]]);
  const seen = (...of: Parameters<typeof correctedMesh>) =>
    meshView(facts({ mesh: correctedMesh(...of), publishDefault }))?.services ?? [];
  const before = seen(mesh, new Map());
  assert.ok(before.length > 0);
  const again = seen({ ...mesh, revision: 6, services: [...mesh.services] }, other);
  assert.equal(again.length, before.length);
  for (const [at, service] of again.entries()) assert.equal(service, before[at]);
  const gone = new Map([["t1", { word: "gone" as const }]]);
  assert.deepEqual(
    seen(mesh, gone).flatMap(({ endpoints }) => endpoints),
    [],
  );
});

it("takes managers' word for endpoints of other nodes", () => {
  const view = meshView(facts({ nodeID: "node-2" }));
  assert.equal(view?.services[0]?.endpoints.length, 2);
});

it("is nothing before the network is made or the node has its place", () => {
  const { network: _network, ...unmade } = makeMesh(1);
  assert.equal(meshView(facts({ mesh: correctedMesh(unmade, new Map()) })), undefined);
  assert.equal(meshView(facts({ nodeID: "node-9" })), undefined);
});

it("every node holds the ports of all services", () => {
  assert.deepEqual(
    meshPortsOf(makeMesh(1, [80, 443])).map(({ publishedPort }) => publishedPort),
    [80, 443],
  );
});

it("answers ports where their service says, or else where the node does by default", () => {
  const label = (published: number, boundTo?: readonly string[]) => ({
    ...({ protocol: "tcp", publishedPort: published, targetPort: 80 } as const),
    ...(boundTo === undefined ? {} : { boundTo }),
  });
  const mesh = correctedMesh(makeMesh(5, [8080], ["t1"]), new Map());
  const [service] = mesh.services;
  assert.ok(service);
  const ports = [label(1), label(2, ["10.0.0.0/8"]), label(3, ["0.0.0.0/0"])];
  const hostPorts = [{ ...label(4), taskID: "t1", address: addressOf("t1") }];
  const boundTo = (publishDefault: readonly string[]) => {
    const services = [{ ...service, ports }];
    const view = meshView(facts({ mesh: { ...mesh, services }, hostPorts, publishDefault }));
    return [...(view?.services[0]?.ports ?? []), ...(view?.hostPorts ?? [])].map(
      (port) => port.boundTo,
    );
  };
  const lan = ["192.168.99.0/24"];
  assert.deepEqual(boundTo(lan), [lan, ["10.0.0.0/8"], undefined, lan]);
  for (const all of [[], ["0.0.0.0/0"]]) {
    assert.deepEqual(boundTo(all), [undefined, ["10.0.0.0/8"], undefined, undefined]);
  }
});

it("says which ports its host has no interface for, and of those alone", () => {
  const view = meshView(facts()) ?? assert.fail();
  const [service] = view.services;
  assert.ok(service);
  const port = { protocol: "tcp", targetPort: 80 } as const;
  const ports = [
    { ...port, publishedPort: 1 },
    { ...port, publishedPort: 2, boundTo: ["10.0.0.0/8", "eth7"] },
    { ...port, publishedPort: 3, boundTo: ["eth1", "eth7"] },
    { ...port, publishedPort: 4, boundTo: ["eth2", "eth7"] },
  ];
  const host = { ...port, publishedPort: 5, boundTo: ["eth7"], taskID: "t1", address: "10.0.0.1" };
  const interfaces = new Map([
    ["eth1", ["192.168.9.1"]],
    ["eth2", []],
  ]);
  assert.deepEqual(
    placelessPorts({ ...view, services: [{ ...service, ports }], hostPorts: [host] }, interfaces),
    [
      {
        protocol: "tcp",
        publishedPort: 4,
        reason: "interface eth2 has no address, no interface eth7",
      },
      { protocol: "tcp", publishedPort: 5, reason: "no interface eth7" },
    ],
  );
});

const overlay = (states: Readonly<Record<string, OverlayEndpoint["state"]>>): OverlayNetwork => ({
  ...{ networkID: "o1", name: "back", vni: 4_097, subnets: ["10.0.9.0/24"], internal: false },
  containers: [],
  services: [
    {
      ...{ serviceID: "s1", serviceName: "db", aliases: [], virtualIPs: ["10.0.9.2"] },
      endpoints: Object.entries(states).map(([taskID, state], index) => ({
        ...{ taskID, taskName: `db.${index}`, aliases: [], addresses: [`10.0.9.${10 + index}`] },
        ...{ nodeIndex: 1, state },
      })),
    },
  ],
});

const withStarting = (mesh: MeshConfig, taskID: string): MeshConfig => ({
  ...mesh,
  services: mesh.services.map((service) => ({
    ...service,
    endpoints: service.endpoints.map((one) =>
      one.taskID === taskID ? { ...one, state: "starting" as const } : one,
    ),
  })),
});

it("knows which of its own endpoints have no link any more", () => {
  const mesh: MeshConfig = {
    ...withStarting(makeMesh(5, [8080], ["t1", "t2", "t5"]), "t5"),
    networks: [overlay({ o1: "live", o2: "live", o3: "starting" })],
  };
  const endpoints = [
    endpoint(addressOf("t1"), "joined"),
    { ...endpoint("10.0.9.10", "joined"), vni: 4_097 },
    { ...endpoint("10.0.9.11", "joined"), vni: 4_098 },
  ];
  assert.deepEqual(goneEndpoints({ mesh, nodeID: "node-1", endpoints }), ["t2", "o2"]);
  assert.deepEqual(goneEndpoints({ mesh, nodeID: "node-2", endpoints }), []);
});
