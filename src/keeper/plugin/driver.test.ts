import assert from "node:assert/strict";
import { test } from "node:test";
import { EMPTY_STATE, type KeeperState } from "../state.ts";
import { handle, linkNames, type PluginResult, peerOf } from "./driver.ts";
import type { PluginRequest } from "./requests.ts";

const networkID = "n".padEnd(64, "0");
const first = "a1".padEnd(64, "0");
const second = "b2".padEnd(64, "0");
const sandboxKey = "/var/run/docker/netns/0123456789ab";
const nothingExists = { linkExists: () => false };
const everythingExists = { linkExists: () => true };

function run(state: KeeperState, ...requests: PluginRequest[]): PluginResult {
  let result: PluginResult = { state, response: {}, effects: [] };
  for (const request of requests) result = handle(result.state, request, everythingExists);
  return result;
}

const network: PluginRequest = { kind: "network.create", networkID, mtu: 1400 };
const create = (endpointID: string, address: string) => ({
  kind: "endpoint.create" as const,
  networkID,
  endpointID,
  address,
});
const join = (endpointID: string): PluginRequest => ({
  kind: "endpoint.join",
  endpointID,
  sandboxKey,
});

test("an endpoint's life: created, joined with a link, left and deleted without a trace", () => {
  const created = run(EMPTY_STATE, network, create(first, "10.255.0.5"));
  assert.deepEqual(created.response, { Interface: { MacAddress: "02:42:0a:ff:00:05" } });
  assert.deepEqual(created.effects, []);

  const joined = run(created.state, join(first));
  assert.deepEqual(joined.effects, [
    {
      kind: "link.create",
      link: "wva10000000000",
      peer: "wca10000000000",
      address: "10.255.0.5",
      mtu: 1400,
    },
  ]);
  assert.deepEqual(joined.response, {
    InterfaceName: { SrcName: "wca10000000000", DstPrefix: "eth" },
    Gateway: "169.254.1.1",
    StaticRoutes: [{ Destination: "169.254.1.1/32", RouteType: 1, NextHop: "" }],
  });

  const left = run(joined.state, { kind: "endpoint.leave", endpointID: first });
  assert.deepEqual(left.effects, [{ kind: "link.delete", link: "wva10000000000" }]);
  assert.equal(left.state.endpoints.get(first)?.state, "created");
  const deleted = run(left.state, { kind: "endpoint.delete", endpointID: first });
  assert.equal(deleted.state.endpoints.size, 0);
});

test("an endpoint with an IPv6 address has the gateway of that family too", () => {
  const addressIPv6 = "fd5a:9c3e:71b2::5";
  const created = run(EMPTY_STATE, network, { ...create(first, "10.255.0.5"), addressIPv6 });
  const { response, effects } = run(created.state, join(first));
  assert.equal(response["GatewayIPv6"], "fe80::1");
  assert.deepEqual(response["StaticRoutes"], [
    { Destination: "169.254.1.1/32", RouteType: 1, NextHop: "" },
    { Destination: "fe80::1/128", RouteType: 1, NextHop: "" },
  ]);
  assert.equal(effects[0]?.kind === "link.create" && effects[0].addressIPv6, addressIPv6);
});

test("exactly one endpoint of a sandbox returns the gateway, also when it is asked again", () => {
  const both = run(EMPTY_STATE, create(first, "10.255.0.5"), create(second, "10.254.0.5"));
  const firstJoined = run(both.state, join(first));
  const secondJoined = run(firstJoined.state, join(second));
  assert.equal(secondJoined.response["Gateway"], undefined);
  assert.equal(secondJoined.response["StaticRoutes"], undefined);
  assert.equal(secondJoined.response["DisableGatewayService"], true);
  const again = run(secondJoined.state, join(first));
  assert.equal(again.response["Gateway"], "169.254.1.1");
  assert.deepEqual(again.state, secondJoined.state);
});

test("every call of the Engine can be repeated", () => {
  const requests: PluginRequest[] = [
    network,
    create(first, "10.255.0.5"),
    join(first),
    { kind: "endpoint.leave", endpointID: first },
    { kind: "endpoint.delete", endpointID: first },
    { kind: "network.delete", networkID },
  ];
  let state = EMPTY_STATE;
  for (const request of requests) {
    const once = handle(state, request, everythingExists);
    const twice = handle(once.state, request, everythingExists);
    assert.deepEqual(twice.state, once.state, request.kind);
    assert.deepEqual(twice.response, once.response, request.kind);
    // What is no longer known may have been of either kind: then both names of its link are tried.
    assert.deepEqual(twice.effects.slice(0, once.effects.length), once.effects, request.kind);
    state = once.state;
  }
  assert.deepEqual(state, EMPTY_STATE);
});

test("an address that a living endpoint has is refused; one whose link is gone is free", () => {
  const { state } = run(EMPTY_STATE, create(first, "10.255.0.5"), join(first));
  assert.throws(
    () => handle(state, create(second, "10.255.0.5"), everythingExists),
    /address 10\.255\.0\.5 is in use by endpoint a1/,
  );
  const result = handle(state, create(second, "10.255.0.5"), nothingExists);
  assert.equal(result.state.endpoints.get(second)?.address, "10.255.0.5");
});

test("an endpoint of a network that the state does not know is taken, with the uplink's MTU", () => {
  const { effects } = run(EMPTY_STATE, create(first, "10.255.0.5"), join(first));
  assert.equal(effects[0]?.kind === "link.create" && "mtu" in effects[0], false);
});

test("what a dead keeper forgot can be left and deleted", () => {
  for (const kind of ["endpoint.leave", "endpoint.delete"] as const) {
    const { state, effects } = run(EMPTY_STATE, { kind, endpointID: first });
    assert.deepEqual(state, EMPTY_STATE);
    const { link, port } = linkNames(first);
    const deletions = [link, port].map((one) => ({ kind: "link.delete", link: one }));
    assert.deepEqual(effects, deletions);
  }
  assert.throws(() => run(EMPTY_STATE, join(first)), /endpoint a10+ not found/);
});

test("names of links fit into Linux's 15 characters", () => {
  const { link, port, peer } = linkNames(first);
  assert.ok([link, port, peer].every((name) => name.length <= 15));
  assert.deepEqual([link, port, "eth0"].map(peerOf), [peer, peer, undefined]);
});

const overlay: PluginRequest = { kind: "network.create", networkID, vni: 4097, mtu: 1400 };

test("an endpoint of an overlay network joins a bridge and leaves the way out to the Engine", () => {
  const addressIPv6 = "fd00:1::5";
  const created = run(EMPTY_STATE, overlay, {
    ...{ kind: "endpoint.create", networkID, endpointID: first },
    ...{ address: "10.0.1.5", addressIPv6 },
  });
  assert.deepEqual(created.response, { Interface: { MacAddress: "02:42:0a:00:01:05" } });
  const joined = run(created.state, join(first));
  assert.deepEqual(joined.response, {
    InterfaceName: { SrcName: "wca10000000000", DstPrefix: "eth" },
  });
  assert.deepEqual(joined.effects, [
    {
      kind: "port.create",
      link: "woa10000000000",
      peer: "wca10000000000",
      vni: 4097,
      mac: "02:42:0a:00:01:05",
      mtu: 1400,
    },
  ]);
  assert.deepEqual(joined.state.endpoints.get(first), {
    ...{ networkID, endpointID: first, address: "10.0.1.5", addressIPv6 },
    ...{ link: "woa10000000000", vni: 4097, state: "joined", sandboxKey, gateway: false },
  });
  const left = run(joined.state, { kind: "endpoint.leave", endpointID: first });
  assert.deepEqual(left.effects, [{ kind: "link.delete", link: "woa10000000000" }]);
  assert.equal(left.state.endpoints.get(first)?.sandboxKey, undefined);
});

test("overlay networks may have the same addresses; no endpoint has a MAC address of its own choice", () => {
  const other = "m".padEnd(64, "0");
  const taken = run(EMPTY_STATE, overlay, create(first, "10.0.1.5"), join(first));
  const { state } = run(taken.state, { kind: "network.create", networkID: other, vni: 4098 });
  const second5 = { ...create(second, "10.0.1.5"), networkID: other } as PluginRequest;
  assert.equal(run(state, second5).state.endpoints.get(second)?.vni, 4098);
  assert.throws(() => run(state, create(second, "10.0.1.5")), /in use by endpoint a1/);
  const withMAC = { ...create(second, "10.0.1.6"), macAddress: "02:42:00:00:00:01" };
  assert.throws(() => run(state, withMAC as PluginRequest), /without --mac-address/);
});
