import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { OverlayEndpoint, OverlayNetwork, OverlayService } from "../datapath/overlay/view.ts";
import type { MeshNode, MeshPort, MeshService, MeshView } from "../datapath/view.ts";
import type { MeshConfig } from "../dispatcher/assignment.ts";
import { makeMesh } from "./fakes.ts";
import { MeshSieve } from "./sound-mesh.ts";

const GOOD = makeMesh(1, [8080], ["t1", "t2"]);
const [SERVICE] = GOOD.services as [MeshService];
const [PORT] = SERVICE.ports as [MeshPort];
const [NODE] = GOOD.nodes as [MeshNode];

const sift = (mesh: Partial<MeshConfig>) => new MeshSieve().sift({ ...GOOD, ...mesh });
const withService = (change: Partial<MeshService>) =>
  sift({ services: [{ ...SERVICE, ...change }, SERVICE] });

describe("the mesh as told", () => {
  it("comes through as it is where nothing is wrong", () => {
    const { mesh, refused } = sift({});
    assert.deepEqual(refused, []);
    assert.deepEqual(mesh, GOOD);
    assert.equal(mesh.services[0], GOOD.services[0]);
    assert.equal(mesh.nodes[0], GOOD.nodes[0]);
  });

  const goodPorts: readonly Partial<MeshPort>[] = [
    { allowedSources: ["10.0.0.0/8", "192.168.99.200"] },
    { boundTo: ["192.168.99.100"] },
    { boundTo: ["10.0.0.0/8", "fd00::7", "eth1", "lo"] },
  ];
  for (const good of goodPorts) {
    it(`keeps a port with ${JSON.stringify(good)}`, () => {
      const { mesh, refused } = withService({ ports: [{ ...PORT, ...good }] });
      assert.deepEqual(mesh.services[0]?.ports, [{ ...PORT, ...good }]);
      assert.deepEqual(refused, []);
    });
  }

  const badPorts: readonly Partial<MeshPort>[] = [
    { protocol: "tcp; flush ruleset" as "tcp" },
    { publishedPort: 0 },
    { publishedPort: 65_536 },
    { targetPort: 1.5 },
    { allowedSources: ["0.0.0.0/0 } ; flush ruleset"] },
    { allowedSources: ["10.0.0.0/8", "10.1.0.0/16"] },
    { boundTo: ["10.0.0.1/8"] },
    { boundTo: ["eth1", "10.0.0.0/8"] },
    { boundTo: ["eth1; flush"] },
    { allowedSources: ["eth1"] },
    { boundTo: ["2001:db8::1/32"] },
  ];
  for (const bad of badPorts) {
    it(`loses a port with ${JSON.stringify(bad)}, and nothing else`, () => {
      const { mesh, refused } = withService({ ports: [{ ...PORT, ...bad }, PORT] });
      assert.deepEqual(mesh.services, [{ ...SERVICE, ports: [PORT] }, SERVICE]);
      assert.equal(refused.length, 1);
    });
  }

  it("keeps what names need of a node, and loses it alone where it is wrong", () => {
    const [node] = GOOD.nodes;
    assert.ok(node);
    const interfaces = [{ name: "eth1", addresses: ["10.7.0.1", "fd07::1"] }];
    const good = { ...node, publishDefault: ["10.0.0.0/8", "eth1"], interfaces };
    assert.deepEqual(sift({ nodes: [good] }).mesh.nodes, [good]);
    for (const bad of [
      { publishDefault: ["x/y"] },
      { interfaces: [{ name: "eth1", addresses: ["10.7.0.300"] }] },
    ]) {
      const { mesh, refused } = sift({ nodes: [{ ...good, ...bad }] });
      assert.deepEqual(mesh.nodes, [node]);
      assert.equal(refused.length, 1);
    }
  });

  it("loses a host-mode port with bad networks from the names", () => {
    const task = {
      taskID: "t",
      protocol: "tcp",
      publishedPort: 1,
      targetPort: 1,
      nodeIndex: 1,
    } as const;
    const published = [
      { ...task, boundTo: ["x/y"] },
      { ...task, boundTo: ["eth1"] },
    ];
    const { mesh, refused } = withService({ published });
    assert.deepEqual(mesh.services[0]?.published, [published[1]]);
    assert.equal(refused.length, 1);
  });

  for (const address of ["10.0.0.300", "", "10.0.0.1/32", "::1", "192.168.0.1", "a\nb"]) {
    it(`loses an endpoint at ${JSON.stringify(address)}, and nothing else`, () => {
      const [first, ...rest] = SERVICE.endpoints;
      const { mesh, refused } = withService({
        endpoints: [{ ...first, address } as (typeof SERVICE.endpoints)[number], ...rest],
      });
      assert.deepEqual(mesh.services, [{ ...SERVICE, endpoints: rest }, SERVICE]);
      assert.equal(refused.length, 1);
    });
  }

  it("loses a node that cannot be one, and of another's addresses only the bad one", () => {
    const nodes = [
      { ...NODE, nodeID: "a", index: 16_384 },
      { ...NODE, nodeID: "b", underlayAddress: "n1" },
      { ...NODE, nodeID: "b2", tunnelAddress: "10.1.0.2; flush ruleset" },
      { ...NODE, nodeID: "c", overlayAddress: "10.0.0.2/32" },
      {
        ...NODE,
        nodeID: "d",
        addresses: ["192.168.99.100", "2001:db8::7", "eth0", "fe80::1%eth0"],
      },
    ];
    const { mesh, refused } = sift({ nodes });
    assert.deepEqual(mesh.nodes, [
      { ...NODE, nodeID: "d", addresses: ["192.168.99.100", "2001:db8::7"] },
    ]);
    assert.equal(refused.length, 6);
  });

  it("keeps an ingress network with an MTU, and loses one with none that could be", () => {
    const { network } = GOOD;
    assert.ok(network);
    assert.deepEqual(sift({ network: { ...network, mtu: 1_300 } }).refused, []);
    assert.equal(sift({ network: { ...network, mtu: 1 } }).mesh.network, undefined);
  });

  it("loses a network whose subnet is none", () => {
    const network = { name: "ingress", subnet: "10.255.0.0/33", vni: 4096, dataPathPort: 4789 };
    const { mesh, refused } = sift({ network });
    assert.equal(mesh.network, undefined);
    assert.deepEqual(refused, ['network "ingress": subnet "10.255.0.0/33"']);
  });

  const task = { taskID: "t1", taskName: "web.1.t1", aliases: [], addresses: ["10.0.1.5"] };
  const endpoint: OverlayEndpoint = { ...task, nodeIndex: 1, state: "live" };
  const inLan: OverlayService = {
    ...{ serviceID: "s1", serviceName: "web", aliases: [] },
    ...{ virtualIPs: ["10.0.1.2"], endpoints: [endpoint] },
  };
  const LAN: OverlayNetwork = {
    ...{ networkID: "lan-id", name: "lan", vni: 4097, subnets: ["10.0.1.0/24", "fd00:1::/64"] },
    ...{ internal: false, services: [inLan], containers: [{ ...endpoint, taskID: "c1" }] },
  };
  const badNetworks: readonly Partial<OverlayNetwork>[] = [
    { vni: 4096 },
    { vni: 16_777_216 },
    { mtu: 67 },
    { mtu: 65_536 },
    { subnets: ["10.0.1.0"] },
    { subnets: ["10.0.1.0/24", "fd00::/129"] },
  ];
  for (const bad of badNetworks) {
    it(`loses a user's network with ${JSON.stringify(bad)}, and nothing else`, () => {
      const { mesh, refused } = sift({ networks: [{ ...LAN, ...bad }, LAN] });
      assert.deepEqual([mesh.networks, mesh.services], [[LAN], GOOD.services]);
      assert.equal(refused.length, 1);
    });
  }

  it("loses a place in a user's network that is none, and nothing else", () => {
    const bad: readonly Partial<OverlayEndpoint>[] = [
      { addresses: ["10.0.1.5/24"] },
      { addresses: ["10.0.1.5", "x"] },
      { addresses: ["fd00:1::5"] },
      { addresses: [] },
      { state: "odd" as "live" },
      { nodeIndex: 0 },
    ];
    const endpoints = [...bad.map((each) => ({ ...endpoint, ...each })), endpoint];
    const virtualIPs = ["10.0.1.2; drop", "10.0.1.2"];
    const services = [{ ...inLan, virtualIPs, endpoints }];
    const { mesh, refused } = sift({ networks: [{ ...LAN, services, containers: endpoints }] });
    assert.deepEqual(mesh.networks, [{ ...LAN, containers: [endpoint] }]);
    assert.equal(refused.length, 1 + bad.length, "each once");
  });

  it("tells of what is bad in a network once, whatever else changes in it", () => {
    const sieve = new MeshSieve();
    const bad = { ...inLan, endpoints: [{ ...endpoint, addresses: ["x"] }] };
    const told = (name: string) => ({ ...GOOD, networks: [{ ...LAN, name, services: [bad] }] });
    assert.equal(sieve.sift(told("lan")).refused.length, 1);
    assert.deepEqual(sieve.sift(told("lan")).refused, []);
    assert.equal(sieve.sift(told("other")).refused.length, 1);
  });

  it("tells of what is bad once, however often it is told", () => {
    const sieve = new MeshSieve();
    const bad = { ...SERVICE, ports: [{ ...PORT, publishedPort: 0 }] };
    const node = { ...NODE, index: 0 };
    const told = { ...GOOD, services: [bad], nodes: [node] };
    assert.equal(sieve.sift(told).refused.length, 2);
    const again = sieve.sift({ ...told, revision: 2 });
    assert.deepEqual(again.refused, []);
    assert.deepEqual([again.mesh.services[0]?.ports, again.mesh.nodes], [[], []]);
  });

  it("holds no text but that of addresses, networks and numbers, whatever was told", () => {
    const anyText = fc.oneof(fc.string(), fc.ipV4(), fc.ipV6(), fc.constant("10.0.0.0/24"));
    const anyNumber = fc.oneof(fc.integer(), fc.double(), fc.integer({ min: 1, max: 100 }));
    const services = fc.array(
      fc.record({
        serviceID: fc.string(),
        serviceName: fc.string(),
        ports: fc.array(
          fc.record({
            protocol: fc.constantFrom("tcp", "udp", "sctp", "") as fc.Arbitrary<"tcp">,
            publishedPort: anyNumber,
            targetPort: anyNumber,
            allowedSources: fc.array(anyText),
          }),
        ),
        endpoints: fc.array(
          fc.record({
            taskID: fc.string(),
            address: anyText,
            nodeIndex: anyNumber,
            state: fc.constant("live" as const),
          }),
        ),
      }),
    );
    fc.assert(
      fc.property(services, (told) => {
        const { mesh } = sift({ services: told });
        for (const { ports, endpoints } of mesh.services as MeshView["services"]) {
          for (const { protocol, publishedPort, allowedSources = [] } of ports) {
            assert.match(
              `${protocol} ${publishedPort} ${allowedSources.join(" ")}`,
              /^(tcp|udp) \d{1,5} [\da-f:./ ]*$/,
            );
          }
          for (const { address } of endpoints) assert.match(address, /^10\.0\.0\.\d{1,3}$/);
        }
      }),
    );
  });
});
