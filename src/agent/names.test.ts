import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../base/random.ts";
import type { OverlayEndpoint, OverlayNetwork } from "../datapath/overlay/view.ts";
import type { MeshNode } from "../datapath/view.ts";
import type { MeshConfig } from "../dispatcher/assignment.ts";
import { lookUp } from "../keeper/dns/lookup.ts";
import { NameIndex } from "../keeper/dns/name-index.ts";
import { correctedMesh } from "./corrected-mesh.ts";
import { type NameSet, networkNames, zoneNames } from "./names.ts";

const endpoint = (at: number, state: OverlayEndpoint["state"] = "live"): OverlayEndpoint => ({
  taskID: `t${at}`,
  taskName: `Web.${at}.t${at}`,
  aliases: [`host${at}`],
  addresses: [`10.0.1.${at}`, `fd00::${at}`],
  nodeIndex: 1,
  state,
});

const NETWORK: OverlayNetwork = {
  ...{ networkID: "lan-id", name: "lan", vni: 4097, internal: false },
  subnets: ["10.0.1.0/24", "fd00::/64"],
  services: [
    {
      ...{ serviceID: "web", serviceName: "Web", aliases: ["www"] },
      virtualIPs: ["10.0.1.100", "fd00::100"],
      endpoints: [endpoint(5), endpoint(6, "starting"), endpoint(7, "draining")],
    },
    {
      ...{ serviceID: "rr", serviceName: "rr", aliases: [], virtualIPs: [] },
      endpoints: [endpoint(8), endpoint(9, "draining")],
    },
    { serviceID: "new", serviceName: "new", aliases: [], virtualIPs: [], endpoints: [] },
  ],
  containers: [{ ...endpoint(20), taskName: "shell", aliases: ["0a1b2c3d4e5f"] }],
};

function answers(set: NameSet, zone = false): (name: string, type?: string) => unknown {
  const index = new NameIndex(set);
  index.change({ put: set.groups, remove: [] });
  return (name, type = "A") => {
    const lookup = lookUp({ sets: [index], zone }, { name, type }, seededRandom(3));
    if (lookup.kind !== "data") return lookup.kind;
    return lookup.answers
      .map(({ data }) => (typeof data === "string" ? data : `${data.target}:${data.port}`))
      .toSorted();
  };
}

test("in a network: virtual IPs, ready tasks, and nobody that drains", () => {
  const ask = answers(networkNames(NETWORK));
  const rows: [string, string, unknown][] = [
    ["web", "A", ["10.0.1.100"]],
    ["www.lan", "AAAA", ["fd00::100"]],
    ["tasks.web", "A", ["10.0.1.5"]],
    ["tasks.www", "A", ["10.0.1.5"]],
    ["web.5.t5", "A", ["10.0.1.5"]],
    ["web.6.t6", "A", ["10.0.1.6"]],
    ["host6", "AAAA", ["fd00::6"]],
    ["web.7.t7", "A", []],
    ["rr", "A", ["10.0.1.8"]],
    ["tasks.rr", "A", ["10.0.1.8"]],
    ["new", "A", []],
    ["tasks.new", "A", []],
    ["shell", "A", ["10.0.1.20"]],
    ["0a1b2c3d4e5f", "A", ["10.0.1.20"]],
    ["tasks.shell", "A", "foreign"],
    ["100.1.0.10.in-addr.arpa", "PTR", ["web.lan"]],
    ["5.1.0.10.in-addr.arpa", "PTR", ["web.5.t5.lan"]],
    ["7.1.0.10.in-addr.arpa", "PTR", "nothing"],
  ];
  for (const [name, type, expected] of rows) assert.deepEqual(ask(name, type), expected, name);
});

const node = (index: number): MeshNode => ({
  ...{ nodeID: `n${index}`, index, overlayAddress: `10.255.0.${index + 1}`, addresses: [] },
  underlayAddress: `192.168.99.10${index}`,
});

test("outside: only addresses where a port is answered have its name", () => {
  const at = (index: number, more: Partial<MeshNode> = {}): MeshNode => ({
    ...node(index),
    addresses: [`10.7.0.${index}`, `192.168.99.10${index}`, `fd07::${index}`],
    ...more,
  });
  const edge = { name: "eth1", addresses: ["10.7.0.2", "fd07::2"] };
  const tcp = { protocol: "tcp", targetPort: 80 } as const;
  const service = (name: string, rest: Partial<MeshConfig["services"][number]>) => ({
    ...{ serviceID: name, serviceName: name, endpoints: [], ports: [] },
    ...rest,
  });
  const mesh: MeshConfig = {
    ...{ revision: 1, networks: [] },
    nodes: [
      at(1, { publishDefault: ["10.7.0.0/16"] }),
      at(2, { interfaces: [edge] }),
      at(3, { publishDefault: ["127.0.0.0/8"] }),
      at(4, { publishDefault: ["eth7"], down: true }),
    ],
    services: [
      service("plain", { ports: [{ ...tcp, publishedPort: 80 }] }),
      service("edge", { ports: [{ ...tcp, publishedPort: 81, boundTo: ["eth1"] }] }),
      service("lan", { ports: [{ ...tcp, publishedPort: 82, boundTo: ["10.7.0.0/24"] }] }),
      service("open", { ports: [{ ...tcp, publishedPort: 83, boundTo: ["0.0.0.0/0"] }] }),
      service("two", {
        ports: [
          { ...tcp, publishedPort: 84, boundTo: ["10.7.0.0/24", "fd07::/64"] },
          { ...tcp, targetPort: 443, publishedPort: 85, boundTo: ["fd07::/64"] },
        ],
      }),
      service("host", {
        published: [
          { ...tcp, taskID: "a", publishedPort: 86, nodeIndex: 2, boundTo: ["eth1"] },
          { ...tcp, taskID: "b", publishedPort: 86, nodeIndex: 1, boundTo: ["eth1"] },
        ],
      }),
    ],
  };
  const init = { zone: "weft", listen: [] };
  const corrected = correctedMesh(mesh, new Map());
  const set = zoneNames(corrected, init);
  const ask = answers(set, true);
  const rows: [string, string, unknown][] = [
    ["1.nodes.weft", "A", ["10.7.0.1"]],
    ["3.nodes.weft", "A", []],
    ["plain.weft", "A", ["10.7.0.1", "192.168.99.102"]],
    ["_80._tcp.plain.weft", "SRV", ["1.nodes.weft:80", "2.nodes.weft:80"]],
    ["edge.weft", "A", ["10.7.0.2"]],
    ["edge.weft", "AAAA", ["fd07::2"]],
    ["_80._tcp.edge.weft", "SRV", ["2.81-tcp.edge.nodes.weft:81"]],
    ["_81._tcp.edge.weft", "SRV", ["2.81-tcp.edge.nodes.weft:81"]],
    ["2.81-tcp.edge.nodes.weft", "A", ["10.7.0.2"]],
    ["lan.weft", "A", ["10.7.0.1", "10.7.0.2", "10.7.0.3"]],
    ["open.weft", "A", ["192.168.99.101", "192.168.99.102", "192.168.99.103"]],
    ["two.weft", "A", []],
    ["two.weft", "AAAA", ["fd07::1", "fd07::2", "fd07::3"]],
    ["1.84-tcp.two.nodes.weft", "A", ["10.7.0.1"]],
    ["host.weft", "A", ["10.7.0.2"]],
    ["_80._tcp.host.weft", "SRV", ["2.86-tcp.host.nodes.weft:86"]],
  ];
  for (const [name, type, expected] of rows) assert.deepEqual(ask(name, type), expected, name);
  assert.equal(zoneNames(corrected, init).groups.at(-1), set.groups.at(-1));
});

test("outside: nodes that answer, through the mesh all and in host mode those with a live task", () => {
  const mesh: MeshConfig = {
    ...{ revision: 1, networks: [] },
    nodes: [node(1), node(2), { ...node(3), down: true }],
    services: [
      {
        ...{ serviceID: "web", serviceName: "my-web", endpoints: [] },
        ports: [{ protocol: "tcp", publishedPort: 8080, targetPort: 80 }],
      },
      {
        ...{ serviceID: "dns", serviceName: "dns", endpoints: [], ports: [] },
        published: [
          { taskID: "a", protocol: "udp", publishedPort: 32_001, targetPort: 53, nodeIndex: 2 },
          { taskID: "b", protocol: "udp", publishedPort: 32_002, targetPort: 53, nodeIndex: 2 },
        ],
      },
      { serviceID: "new", serviceName: "new", endpoints: [], ports: [] },
    ],
  };
  const corrected = correctedMesh(mesh, new Map());
  const set = zoneNames(corrected, { zone: "weft", listen: ["127.0.0.1:9353"] });
  const ask = answers(set, true);
  const rows: [string, string, unknown][] = [
    ["my-web.weft", "A", ["192.168.99.101", "192.168.99.102"]],
    ["_80._tcp.my-web.weft", "SRV", ["1.nodes.weft:8080", "2.nodes.weft:8080"]],
    ["_8080._tcp.my-web.weft", "SRV", ["1.nodes.weft:8080", "2.nodes.weft:8080"]],
    ["_80._udp.my-web.weft", "SRV", []],
    ["dns.weft", "A", ["192.168.99.102"]],
    ["_53._udp.dns.weft", "SRV", ["2.nodes.weft:32001", "2.nodes.weft:32002"]],
    ["new.weft", "A", []],
    ["_80._tcp.new.weft", "SRV", []],
    ["none.weft", "A", "nothing"],
    ["my-web", "A", "foreign"],
  ];
  for (const [name, type, expected] of rows) assert.deepEqual(ask(name, type), expected, name);
  const without = correctedMesh(mesh, new Map([["a", { word: "gone" }]]));
  const hidden = answers(zoneNames(without, { zone: "weft", listen: [] }), true);
  assert.deepEqual(hidden("_53._udp.dns.weft", "SRV"), ["2.nodes.weft:32002"]);
  const again = zoneNames(correctedMesh({ ...mesh, revision: 2 }, new Map()), {
    zone: "weft",
    listen: [],
  });
  assert.equal(again.groups.at(-1), set.groups.at(-1), "what did not change is the same value");
});
