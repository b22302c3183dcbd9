import assert from "node:assert/strict";
import { it } from "node:test";
import { addressOf, makeMesh } from "./fakes.ts";
import { type MeshFacts, meshPortsOf, meshView } from "./mesh-view.ts";

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
    mesh: makeMesh(5, [8080], ["t1", "t2"]),
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

it("takes managers' word for endpoints of other nodes", () => {
  const view = meshView(facts({ nodeID: "node-2" }));
  assert.equal(view?.services[0]?.endpoints.length, 2);
});

it("is nothing before the network is made or the node has its place", () => {
  const { network: _network, ...unmade } = makeMesh(1);
  assert.equal(meshView(facts({ mesh: unmade })), undefined);
  assert.equal(meshView(facts({ nodeID: "node-9" })), undefined);
});

it("every node holds the ports of all services", () => {
  assert.deepEqual(
    meshPortsOf(makeMesh(1, [80, 443])).map(({ publishedPort }) => publishedPort),
    [80, 443],
  );
});
