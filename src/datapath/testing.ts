/** Views for tests: plain ones with defaults, and arbitrary ones for properties. Imported by tests alone. */
import * as fc from "fast-check";
import type { HostFacts } from "./facts.ts";
import { ipv6Of } from "./ipv6.ts";
import type { MeshEndpoint, MeshNode, MeshService, MeshView } from "./view.ts";
import { portKey } from "./view.ts";

/** As random as those of real clusters. */
export const SUBNET6 = "fd5a:9c3e:71b2::/64";

export function makeNode(index: number): MeshNode {
  const address = `192.168.99.${99 + index}`;
  const address6 = `2001:db8:99::${99 + index}`;
  return {
    nodeID: `n${index}`,
    index,
    underlayAddress: address,
    overlayAddress: `10.255.0.${index + 1}`,
    addresses: [address, address6],
  };
}

export function makeEndpoint(overrides: Partial<MeshEndpoint> = {}): MeshEndpoint {
  return { taskID: "t1", address: "10.255.0.9", nodeIndex: 2, state: "live", ...overrides };
}

export function makeService(port: number, overrides: Partial<MeshService> = {}): MeshService {
  return {
    serviceID: `s${port}`,
    serviceName: `s${port}`,
    ports: [{ protocol: "tcp", publishedPort: port, targetPort: 80 }],
    endpoints: [makeEndpoint()],
    ...overrides,
  };
}

/** Node 1 of three, with no service. All ports of its services are held unless told otherwise. */
export function makeView(overrides: Partial<MeshView> = {}): MeshView {
  const services = overrides.services ?? [];
  const ports = [...services.flatMap((service) => service.ports), ...(overrides.hostPorts ?? [])];
  return {
    revision: 1,
    self: makeNode(1),
    peers: [makeNode(2), makeNode(3)],
    subnet: "10.255.0.0/16",
    subnet6: SUBNET6,
    vni: 4096,
    dataPathPort: 4789,
    services,
    networks: [],
    hostPorts: [],
    localLinks: [],
    overlayLinks: [],
    heldPorts: new Set(ports.map((port) => portKey(port.protocol, port.publishedPort))),
    ...overrides,
  };
}

/** A host whose task links all exist. */
export function makeFacts(view: MeshView): HostFacts {
  const links = new Set(view.localLinks.map((local) => local.link));
  return {
    uplinkMTU: 1500,
    filtersPaths: false,
    links,
    forwarding: true,
    ipv6: true,
    advertised: [],
    isOurForwarding6: true,
    filtersPaths6: true,
    interfaces: new Map([
      ["eth1", ["10.7.0.1", "fd07::1"]],
      ["eth2", []],
    ]),
    canCount: true,
  };
}

const NODES_MAX = 5;
const SERVICES_MAX = 4;
const ENDPOINTS_MAX = 4;

const anyEndpoint = fc
  .record({
    taskID: fc.constant("t"),
    address: fc.integer({ min: 10, max: 30 }).map((byte) => `10.255.0.${byte}`),
    nodeIndex: fc.integer({ min: 1, max: NODES_MAX }),
    state: fc.constantFrom("live" as const, "draining" as const),
    ipv6Ports: fc.subarray(["tcp/53", "tcp/80", "udp/53", "udp/80"]),
  })
  .map(({ ipv6Ports, ...endpoint }) =>
    ipv6Ports.length === 0 ? endpoint : { ...endpoint, ipv6Ports },
  );

const anyLimit = fc.option(fc.subarray(["192.168.99.0/24", "10.0.0.0/8", "172.16.0.1"]), {
  nil: undefined,
});

/** Networks, and interfaces: one within a network, one with no address, one that is not there. */
const anyPlace = fc.option(
  fc.subarray(["192.168.99.0/24", "10.0.0.0/8", "fd07::/64", "eth1", "eth2", "eth7"]),
  { nil: undefined },
);

const anyPort = fc
  .record({
    protocol: fc.constantFrom("tcp" as const, "udp" as const),
    publishedPort: fc.integer({ min: 8080, max: 8090 }),
    targetPort: fc.constantFrom(53, 80),
    ...{ allowedSources: anyLimit, boundTo: anyPlace },
  })
  .map(({ allowedSources, boundTo, ...port }) => ({
    ...port,
    ...(allowedSources === undefined ? {} : { allowedSources }),
    ...(boundTo === undefined ? {} : { boundTo }),
  }));

const anyService = fc.record({
  serviceID: fc.constant("s"),
  serviceName: fc.constant("s"),
  ports: fc.uniqueArray(anyPort, { maxLength: 3, selector: keyOf }),
  endpoints: fc.uniqueArray(anyEndpoint, {
    maxLength: ENDPOINTS_MAX,
    selector: (one) => one.address,
  }),
});

/** Services, ports, endpoints and nodes that come and go; a port belongs to one service, as the allocator sees to. */
export const anyView: fc.Arbitrary<MeshView> = fc
  .record({
    services: fc.array(anyService, { maxLength: SERVICES_MAX }),
    peers: fc.subarray([2, 3, 4, NODES_MAX]),
    held: fc.infiniteStream(fc.boolean()),
    links: fc.subarray([10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]),
    vni: fc.constantFrom(4096, 4097),
    dataPathPort: fc.constantFrom(4789, 7789),
  })
  .map(({ services, peers, held, links, ...tunnel }) => {
    const seen = new Set<string>();
    const distinct = services.map((service, index) => ({
      ...service,
      serviceID: `s${index}`,
      ports: service.ports.filter((port) => !seen.has(keyOf(port)) && seen.add(keyOf(port))),
    }));
    return makeView({
      ...tunnel,
      services: distinct,
      peers: peers.map(makeNode),
      localLinks: links.map((byte) => ({
        address: `10.255.0.${byte}`,
        address6: ipv6Of(SUBNET6, "10.255.0.0/16", `10.255.0.${byte}`),
        link: `wv${byte}`,
      })),
      heldPorts: new Set([...seen].filter(() => held.next().value)),
    });
  });

function keyOf(port: { protocol: string; publishedPort: number }): string {
  return portKey(port.protocol, port.publishedPort);
}
