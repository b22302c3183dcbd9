import assert from "node:assert/strict";
import { test } from "node:test";
import type { PeerProblem } from "./assignment.ts";
import { type NetworkFacts, networkMessages } from "./network-messages.ts";

const NODES = [1, 2, 3, 4, 5].map((index) => ({
  nodeID: `id${index}`,
  hostname: `n${index}`,
  addr: `192.168.99.${99 + index}`,
}));

function messages(
  reports: Readonly<Record<string, readonly PeerProblem[]>>,
  more: Partial<NetworkFacts> = {},
): Readonly<Record<string, readonly string[]>> {
  const nodes = NODES.slice(0, 3);
  const facts = { nodes, skews: new Map(), rivals: new Map(), dataPathPort: 4789, ...more };
  return Object.fromEntries(
    networkMessages({ ...facts, reports: new Map(Object.entries(reports)) }),
  );
}

test("nobody is ailing where nothing is reported", () => {
  assert.deepEqual(messages({ id1: [], id2: [] }), {});
});

test("who is not heard by most is to blame, and is told by whom", () => {
  const told = messages({
    id1: [{ kind: "udp", peer: "id3" }],
    id2: [{ kind: "udp", peer: "id3" }],
    id3: [
      { kind: "udp", peer: "id1" },
      { kind: "udp", peer: "id2" },
    ],
  });
  assert.deepEqual(told, {
    id3: ["7946/udp is closed between it and n1, n2, 7946/tcp is open"],
  });
});

test("of two alone nobody knows whose fault it is: both are told", () => {
  const told = messages({ id1: [{ kind: "tunnel", peer: "id2" }] });
  assert.deepEqual(told, {
    id1: ["4789/udp is closed between it and n2: no tunnel"],
    id2: ["4789/udp is closed between it and n1: no tunnel"],
  });
});

test("a way that is closed in one direction is told with its direction, once", () => {
  // Nobody reaches the third, which hears nothing of the others either.
  const deaf = messages({
    id1: [{ kind: "oneway", peer: "id3" }],
    id2: [{ kind: "oneway", peer: "id3" }],
    id3: [
      { kind: "tunnel", peer: "id1" },
      { kind: "tunnel", peer: "id2" },
    ],
  });
  const open = "and open the other way: a firewall, or asymmetric routes";
  assert.deepEqual(deaf, { id3: [`4789/udp is closed from n1, n2 to it, ${open}`] });
  // The second has not heard the third yet.
  const half = messages({
    id1: [{ kind: "oneway", peer: "id3" }],
    id2: [{ kind: "tunnel", peer: "id3" }],
  });
  assert.deepEqual(half, {
    id3: [
      "4789/udp is closed between it and n2: no tunnel",
      `4789/udp is closed from n1 to it, ${open}`,
    ],
  });
  const mute = messages({
    id1: [{ kind: "tunnel", peer: "id3" }],
    id3: [
      { kind: "oneway", peer: "id1" },
      { kind: "oneway", peer: "id2" },
    ],
  });
  assert.deepEqual(mute, { id3: [`4789/udp is closed from it to n1, n2, ${open}`] });
});

test("wrong checksums are the fault of who sends them", () => {
  const told = messages({ id2: [{ kind: "checksum", peer: "id1" }] });
  assert.deepEqual(Object.keys(told), ["id2"]);
  assert.match(told["id2"]?.[0] ?? "", /^what it sends to n1 by the tunnel arrives with wrong/);
});

test("each ailment has its words", () => {
  const nodes = NODES;
  const all = (kind: PeerProblem["kind"]) =>
    Object.fromEntries(NODES.slice(1).map(({ nodeID }) => [nodeID, [{ kind, peer: "id1" }]]));
  const of1 = (kind: PeerProblem["kind"]) => messages(all(kind), { nodes })["id1"];
  assert.deepEqual(of1("tcp"), [
    "7946/tcp is closed between it and n2, n3, n4 and 1 more, 7946/udp is open",
  ]);
  assert.deepEqual(of1("key"), [
    "its gossip and that of n2, n3, n4 and 1 more are sealed with different keys",
  ]);
  assert.match(of1("mtu")?.[0] ?? "", /^an MTU black hole between it and n2, n3, n4 and 1 more/);
  const silent = messages({ id2: [{ kind: "silent", peer: "id2", detail: "7946 is taken" }] });
  assert.deepEqual(silent, { id2: ["it does not gossip: 7946 is taken"] });
});

test("a clock that is off, an address and a certificate that two have", () => {
  const skews = new Map([
    ["id2", 94_000],
    ["id3", -31_000],
    ["id1", 29_000],
  ]);
  assert.deepEqual(messages({}, { skews }), {
    id2: ["its clock is 90 s ahead of the manager's"],
    id3: ["its clock is 30 s behind the manager's"],
  });
  const [n1, n2] = NODES;
  assert.ok(n1 && n2);
  assert.deepEqual(messages({}, { nodes: [n1, { ...n2, addr: n1.addr }] }), {
    id1: ["its address 192.168.99.100 is n2's too"],
    id2: ["its address 192.168.99.100 is n1's too"],
  });
  const dataPathAddr = "10.7.0.1";
  const tunnels = [
    { ...n1, dataPathAddr },
    { ...n2, dataPathAddr },
  ];
  assert.deepEqual(messages({}, { nodes: tunnels }), {
    id1: ["its address 10.7.0.1 is n2's too"],
    id2: ["its address 10.7.0.1 is n1's too"],
  });
  const rivals = new Map([["id2", ["192.168.99.101", "192.168.99.109"]]]);
  const text =
    "two hosts go by its certificate: 192.168.99.101 and 192.168.99.109; 'weft reset' one of them, and join anew";
  assert.deepEqual(messages({}, { rivals }), { id2: [text] });
  const seen = messages({ id1: [{ kind: "name", peer: "id2", detail: "192.168.99.109" }] });
  assert.deepEqual(seen, { id2: [text] });
  // The node's address is now one, now the other: the words stay the same.
  const own = messages({ id1: [{ kind: "name", peer: "id2", detail: "192.168.99.101" }] });
  assert.deepEqual(own, {});
  const both = messages(
    { id1: [{ kind: "name", peer: "id2", detail: "192.168.99.007" }] },
    { rivals },
  );
  assert.deepEqual(both, { id2: [text] });
});

test("of a node that is down is told what is heard of it all the same, and nothing else", () => {
  const [n1, n2, n3] = NODES;
  assert.ok(n1 && n2 && n3);
  const nodes = [n1, n2, { ...n3, isDown: true }];
  const heard: readonly PeerProblem[] = [
    { kind: "key", peer: "id3" },
    { kind: "tunnel", peer: "id3" },
  ];
  const lies: readonly PeerProblem[] = [{ kind: "udp", peer: "id1" }];
  const skews = new Map([["id3", 90_000]]);
  assert.deepEqual(messages({ id1: heard, id2: heard, id3: lies }, { nodes, skews }), {
    id3: ["its gossip and that of n1, n2 are sealed with different keys"],
  });
  assert.deepEqual(messages({ id1: heard }, { nodes }), {
    id3: ["its gossip and that of n1 are sealed with different keys"],
  });
  const successor = [n1, n2, { ...n3, isDown: true }, { ...n3, nodeID: "id9" }];
  assert.deepEqual(messages({}, { nodes: successor }), {}, "a host that has joined anew");
});

test("a node speaks of itself and its own pairs only, and not of strangers", () => {
  const told = messages({
    id1: [
      { kind: "silent", peer: "id2", detail: "a lie" },
      { kind: "udp", peer: "unknown" },
      { kind: "udp", peer: "id1" },
    ],
    unknown: [{ kind: "udp", peer: "id1" }],
  });
  assert.deepEqual(told, {});
});
