import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { desired } from "./desired.ts";
import { makeEndpoint, makeFacts, makeNode, makeService, makeView } from "./testing.ts";
import type { Outcome, Probe, TracedHost } from "./trace.ts";
import { trace } from "./trace.ts";
import type { MeshService } from "./view.ts";

const NODES = [1, 2, 3].map(makeNode);
const TASK_1 = { address: "10.255.0.8", nodeIndex: 1, link: "wv8" };
const TASK_2 = { address: "10.255.0.9", nodeIndex: 2, link: "wv9" };
const CLIENT = "192.168.99.200";
const ON_1 = 8080;
const ON_2 = 8081;
const NONE = 8082;

const SERVICES = [
  makeService(ON_1, { endpoints: [makeEndpoint(TASK_1)] }),
  makeService(ON_2, { endpoints: [makeEndpoint(TASK_2)] }),
  makeService(NONE, { endpoints: [] }),
];

function mesh(services: readonly MeshService[] = SERVICES): TracedHost[] {
  return NODES.map((node) => {
    const localLinks = [TASK_1, TASK_2].filter((task) => task.nodeIndex === node.index);
    const peers = NODES.filter((other) => other !== node);
    const view = makeView({ self: node, peers, services, localLinks });
    return { node, state: desired(view, makeFacts(view)) };
  });
}

const outside = (host: string) => ({ host, link: "eth0" });

function probe(from: Probe["from"], source: string, destination: string, port: number): Probe {
  return { from, source, destination, port, protocol: "tcp" };
}

function task(at: string, to: string, seenAs: string, replyThrough: string): Outcome {
  return { kind: "task", at, to: `${to}:80`, seenAs, replyThrough };
}

const H1 = "192.168.99.100";
const H2 = "192.168.99.101";
const H3 = "192.168.99.102";
const OVERLAY_1 = "10.255.0.2";

const CELLS: readonly (readonly [name: string, probe: Probe, outcome: Outcome])[] = [
  [
    "outside, task here",
    probe(outside("n1"), CLIENT, H1, ON_1),
    task("n1", TASK_1.address, CLIENT, "n1"),
  ],
  [
    "outside, task elsewhere",
    probe(outside("n1"), CLIENT, H1, ON_2),
    task("n2", TASK_2.address, CLIENT, "n1"),
  ],
  ["outside, no task", probe(outside("n1"), CLIENT, H1, NONE), { kind: "refused", at: "n1" }],
  [
    "outside, a port that is no service's",
    probe(outside("n1"), CLIENT, H1, 22),
    { kind: "process", at: "n1" },
  ],
  [
    "the entry host by 127.0.0.1",
    probe({ process: "n1" }, "127.0.0.1", "127.0.0.1", ON_2),
    task("n2", TASK_2.address, OVERLAY_1, "n1"),
  ],
  [
    "the entry host by its LAN address",
    probe({ process: "n1" }, H1, H1, ON_2),
    task("n2", TASK_2.address, H1, "n1"),
  ],
  ["another member", probe(outside("n1"), H3, H1, ON_2), task("n2", TASK_2.address, H3, "n1")],
  [
    "the task's own host",
    probe(outside("n1"), H2, H1, ON_2),
    task("n2", TASK_2.address, OVERLAY_1, "n1"),
  ],
  [
    "a task that reaches itself",
    probe({ host: "n1", link: "wv8" }, TASK_1.address, H1, ON_1),
    task("n1", TASK_1.address, OVERLAY_1, "n1"),
  ],
  [
    "a task that reaches another",
    probe({ host: "n1", link: "wv8" }, TASK_1.address, H1, ON_2),
    task("n2", TASK_2.address, TASK_1.address, "n1"),
  ],
  [
    "a task that goes out",
    probe({ host: "n1", link: "wv8" }, TASK_1.address, "9.9.9.9", 443),
    { kind: "gone", at: "n1", source: H1 },
  ],
  [
    "straight to a task's port",
    probe(outside("n2"), CLIENT, TASK_2.address, 80),
    { kind: "dropped", at: "n2", in: "forward" },
  ],
  [
    "to a task that is no more",
    probe(outside("n1"), CLIENT, "10.255.0.77", 80),
    { kind: "refused", at: "n1" },
  ],
  [
    "127.0.0.1 from a task",
    probe({ host: "n1", link: "wv8" }, TASK_1.address, "127.0.0.1", ON_1),
    { kind: "dropped", at: "n1", in: "prerouting" },
  ],
];

describe("a packet's way", () => {
  for (const [name, one, outcome] of CELLS) {
    it(name, () => assert.deepEqual(trace(mesh(), one).outcome, outcome));
  }

  it("is told step by step", () => {
    assert.deepEqual(trace(mesh(), probe(outside("n1"), H2, H1, ON_2)).steps, [
      "n1: led to 10.255.0.9:80",
      "n1: from 10.255.0.2 instead of 192.168.99.101",
      "n1: to n2 by weft0",
      "n2: conntrack zone 1, by the sender's MAC 02:42:0a:ff:00:02",
      "n2: to task 10.255.0.9:80 by wv9, from 10.255.0.2",
      "n2: its reply is marked 0x40010000 and goes back to n1 by weft0",
    ]);
  });

  it("leads to draining tasks no more, while another lives", () => {
    const endpoints = [makeEndpoint({ ...TASK_1, state: "draining" }), makeEndpoint(TASK_2)];
    const hosts = mesh([makeService(ON_1, { endpoints })]);
    const outcome = trace(hosts, probe(outside("n1"), CLIENT, H1, ON_1)).outcome;
    assert.deepEqual(outcome, task("n2", TASK_2.address, CLIENT, "n1"));
  });

  it("is nobody's when the port could not be held", () => {
    const node = NODES[0];
    assert(node !== undefined);
    const view = makeView({ services: SERVICES, heldPorts: new Set() });
    const hosts = [{ node, state: desired(view, makeFacts(view)) }];
    const outcome = trace(hosts, probe(outside("n1"), CLIENT, H1, ON_2)).outcome;
    assert.deepEqual(outcome, { kind: "process", at: "n1" });
  });

  it("is led on for those who may reach the port, and refused to others", () => {
    const [port] = makeService(ON_2).ports;
    assert(port !== undefined);
    const ports = [{ ...port, allowedSources: ["192.168.99.128/25", "10.9.0.1"] }];
    const hosts = mesh([makeService(ON_2, { ports, endpoints: [makeEndpoint(TASK_2)] })]);
    const through = (from: Probe["from"], source: string) =>
      trace(hosts, probe(from, source, H1, ON_2)).outcome;
    const led = task("n2", TASK_2.address, CLIENT, "n1");
    assert.deepEqual(through(outside("n1"), CLIENT), led);
    assert.deepEqual(through(outside("n1"), "10.9.0.2"), { kind: "refused", at: "n1" });
    // The host's own processes are not clients from anywhere.
    assert.equal(through({ process: "n1" }, H1).kind, "task");
  });

  it("is answered at the addresses that the port is bound to, and refused at others", () => {
    const [port] = makeService(ON_2).ports;
    assert(port !== undefined);
    const ports = [{ ...port, boundTo: [H2] }];
    const hosts = mesh([makeService(ON_2, { ports, endpoints: [makeEndpoint(TASK_2)] })]);
    const through = (from: Probe["from"], to: string) =>
      trace(hosts, probe(from, CLIENT, to, ON_2)).outcome;
    assert.deepEqual(through(outside("n1"), H1), { kind: "refused", at: "n1" });
    assert.equal(through(outside("n2"), H2).kind, "task");
    assert.deepEqual(through({ process: "n1" }, H1), { kind: "refused", at: "n1" });
  });

  it("ends at a live task of the service through any node, and comes back through that node", () => {
    const endpoints = [makeEndpoint(TASK_1), makeEndpoint(TASK_2)];
    const hosts = mesh([makeService(ON_1, { endpoints })]);
    fc.assert(
      fc.property(fc.constantFrom(...NODES), fc.nat({ max: 1 }), (node, index) => {
        const entry = probe(outside(node.nodeID), CLIENT, node.underlayAddress, ON_1);
        const { outcome } = trace(hosts, entry, (n) => index % n);
        const target = [TASK_1, TASK_2][index];
        assert(target !== undefined);
        const expected = task(`n${target.nodeIndex}`, target.address, CLIENT, node.nodeID);
        assert.deepEqual(outcome, expected);
      }),
    );
  });
});
