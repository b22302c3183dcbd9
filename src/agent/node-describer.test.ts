import assert from "node:assert/strict";
import { it } from "node:test";
import { FakeClock } from "../base/clock.ts";
import { silentLogger } from "../base/logger.ts";
import type { NodeDescription } from "../cluster/objects.ts";
import { FakeRuntime } from "../runtime/fake/fake-runtime.ts";
import { hostAddresses, type Interfaces, NodeDescriber } from "./node-describer.ts";

const ipv4 = (address: string, internal = false) =>
  ({ address, family: "IPv4", internal, netmask: "", mac: "", cidr: null }) as const;

const HOST: Interfaces = {
  lo: [ipv4("127.0.0.1", true)],
  eth0: [ipv4("192.168.99.100"), { ...ipv4("fe80::1"), family: "IPv6", scopeid: 2 }],
  docker0: [ipv4("172.17.0.1")],
  weft0: [ipv4("10.0.0.2")],
  wv0123456789ab: [ipv4("10.0.0.3")],
};

it("every IPv4 address is the host's but loopback's and Weft's own", () => {
  assert.deepEqual(hostAddresses(HOST), ["172.17.0.1", "192.168.99.100"]);
});

it("the node is described again when an address was added, and only then", async () => {
  const clock = new FakeClock();
  const told: NodeDescription[] = [];
  let interfaces = HOST;
  const describer = new NodeDescriber({
    hostname: "n1",
    runtime: new FakeRuntime(),
    clock,
    log: silentLogger,
    interfaces: () => interfaces,
    onChange: (description) => told.push(description),
  });
  describer.start();
  assert.equal(describer.description, undefined);
  await describer.refresh();
  clock.advance(10_000);
  assert.equal(told.length, 1);
  interfaces = { ...HOST, eth1: [ipv4("10.1.0.5")] };
  clock.advance(2_000);
  assert.deepEqual(told.at(-1)?.addresses, ["10.1.0.5", "172.17.0.1", "192.168.99.100"]);
  await describer.stop();
  assert.deepEqual(clock.pending(), []);
});
