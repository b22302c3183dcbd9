import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { seededRandom } from "../../base/random.ts";
import { addressOfReverse, type Lookup, lookUp, type Sight } from "./lookup.ts";
import { NameIndex } from "./name-index.ts";
import type { NameGroup } from "./names.ts";

const WEB: NameGroup = {
  id: "web-id",
  entries: [
    { names: ["web", "www"], addresses: ["10.0.1.2"], reverse: "web" },
    { names: ["tasks.web"], addresses: ["10.0.1.5", "10.0.1.6", "fd00::5"] },
    { names: ["web.1.x"], addresses: ["10.0.1.5"], reverse: "web.1.x" },
  ],
};
const NEW: NameGroup = { id: "new-id", entries: [{ names: ["new", "tasks.new"] }] };

function setOf(suffix: string, groups: readonly NameGroup[], subnets = ["10.0.1.0/24"]): NameIndex {
  const index = new NameIndex({ suffix, subnets });
  index.change({ put: groups, remove: [] });
  return index;
}

const front = setOf("front", [WEB, NEW]);
const back = setOf("back", [
  { id: "db", entries: [{ names: ["db", "web"], addresses: ["10.0.1.2"] }] },
]);
const sight: Sight = { sets: [front, back], zone: false };

function ask(name: string, type = "A", from = sight): Lookup {
  return lookUp(from, { name, type }, seededRandom(7));
}

function dataOf(lookup: Lookup): unknown {
  return lookup.kind === "data" ? lookup.answers.map(({ data }) => data) : lookup.kind;
}

test("what a container may ask, and what it is told", () => {
  const rows: [string, string, unknown][] = [
    ["web", "A", ["10.0.1.2"]],
    ["WEB", "A", ["10.0.1.2"]],
    ["www", "A", ["10.0.1.2"]],
    ["web.front", "A", ["10.0.1.2"]],
    ["tasks.web.front", "AAAA", ["fd00::5"]],
    ["web", "AAAA", []],
    ["web", "MX", []],
    ["web.1.x", "A", ["10.0.1.5"]],
    ["new", "A", []],
    ["db", "A", ["10.0.1.2"]],
    ["db.front", "A", "foreign"],
    ["front", "A", "foreign"],
    ["web.other", "A", "foreign"],
    ["example.com", "A", "foreign"],
    ["2.1.0.10.in-addr.arpa", "PTR", ["web.front"]],
    ["9.1.0.10.in-addr.arpa", "PTR", "nothing"],
    ["9.9.9.9.in-addr.arpa", "PTR", "foreign"],
  ];
  for (const [name, type, expected] of rows) {
    assert.deepEqual(dataOf(ask(name, type)), expected, `${name} ${type}`);
  }
});

test("a container may ask for the way to a port: of a virtual IP, and of each task", () => {
  const rows: [string, string, unknown][] = [
    ["_80._tcp.web", "SRV", [{ target: "web.front", port: 80 }]],
    ["_80._tcp.www.front", "SRV", [{ target: "web.front", port: 80 }]],
    ["_80._tcp.web", "A", []],
    ["_53._udp.web.1.x", "SRV", [{ target: "web.1.x.front", port: 53 }]],
    ["_80._tcp.new", "SRV", []],
    ["_0._tcp.web", "SRV", "foreign"],
    ["_65536._tcp.web", "SRV", "foreign"],
    ["_http._tcp.web", "SRV", "foreign"],
    ["_80._sctp.web", "SRV", "foreign"],
    ["_80._tcp.nobody", "SRV", "foreign"],
  ];
  for (const [name, type, expected] of rows) {
    assert.deepEqual(dataOf(ask(name, type)), expected, `${name} ${type}`);
  }
  const tasks = ask("_80._tcp.tasks.web", "SRV");
  assert.ok(tasks.kind === "data");
  const targets = tasks.answers.flatMap((record) => (record.type === "SRV" ? record.data : []));
  // Those without a name of their own go by the one that was asked for.
  assert.deepEqual(targets.map(({ target }) => target).toSorted(), [
    "tasks.web.front",
    "web.1.x.front",
  ]);
  assert.ok(tasks.additionals.some(({ data }) => data === "10.0.1.5"));
});

test("an answer carries the name as it was asked", () => {
  const lookup = ask("wEb.FRONT");
  assert.ok(lookup.kind === "data");
  assert.deepEqual(lookup.answers, [{ type: "A", name: "wEb.FRONT", data: "10.0.1.2" }]);
});

test("the tasks of a service come in any order, all of them each time", () => {
  const random = seededRandom(1);
  const firsts = new Set<unknown>();
  for (let round = 0; round < 50; round++) {
    const data = dataOf(lookUp(sight, { name: "tasks.web", type: "A" }, random)) as string[];
    assert.deepEqual(data.toSorted(), ["10.0.1.5", "10.0.1.6"]);
    firsts.add(data[0]);
  }
  assert.equal(firsts.size, 2);
});

test("a zone: hosts and ports, of one node and of all", () => {
  const node = (index: number): NameGroup => ({
    id: `node-${index}`,
    entries: [{ names: [`${index}.nodes`], addresses: [`192.168.99.10${index}`] }],
  });
  const zone = setOf(
    "weft",
    [
      node(1),
      node(2),
      { id: "all", entries: [{ names: ["all.nodes"], hosts: ["1.nodes", "2.nodes"] }] },
      {
        id: "web",
        entries: [
          { names: ["web"], hosts: ["all.nodes"] },
          { names: ["_80._tcp.web"], ports: [{ host: "all.nodes", port: 8080 }] },
        ],
      },
      {
        id: "dns",
        entries: [
          { names: ["dns"], hosts: ["2.nodes"] },
          { names: ["_53._udp.dns"], ports: [{ host: "2.nodes", port: 32001 }] },
        ],
      },
    ],
    [],
  );
  const from: Sight = { sets: [zone], zone: true };
  const web = dataOf(ask("web.weft", "A", from)) as string[];
  assert.deepEqual(web.toSorted(), ["192.168.99.101", "192.168.99.102"]);
  const ports = dataOf(ask("_80._tcp.web.weft", "SRV", from)) as { target: string }[];
  assert.deepEqual(
    ports.toSorted((a, b) => (a.target < b.target ? -1 : 1)),
    [
      { target: "1.nodes.weft", port: 8080 },
      { target: "2.nodes.weft", port: 8080 },
    ],
  );
  const one = ask("_53._udp.dns.weft", "SRV", from);
  assert.deepEqual(one, {
    kind: "data",
    answers: [
      { type: "SRV", name: "_53._udp.dns.weft", data: { target: "2.nodes.weft", port: 32001 } },
    ],
    additionals: [{ type: "A", name: "2.nodes.weft", data: "192.168.99.102" }],
  });
  assert.deepEqual(dataOf(ask("weft", "A", from)), []);
  assert.deepEqual(dataOf(ask("_81._tcp.web.weft", "SRV", from)), []);
  assert.deepEqual(dataOf(ask("_80._tcp.nobody.weft", "SRV", from)), "nothing");
  assert.deepEqual(dataOf(ask("nobody.weft", "A", from)), "nothing");
  assert.deepEqual(dataOf(ask("web", "A", from)), "foreign", "no zone, no answer");
  assert.deepEqual(dataOf(ask("xweft", "A", from)), "foreign");
});

test("addresses asked for in reverse", () => {
  assert.equal(addressOfReverse("5.1.0.10.in-addr.arpa"), "10.0.1.5");
  const nibbles = `5${"0".repeat(27)}00df`.split("").join(".");
  assert.equal(addressOfReverse(`${nibbles}.ip6.arpa`), "fd00::5");
  assert.equal(addressOfReverse("in-addr.arpa"), undefined);
});

const groups = fc.record({
  id: fc.constantFrom("a", "b", "c"),
  entries: fc.array(
    fc.record({
      names: fc.array(fc.constantFrom("web", "db", "tasks.web"), { maxLength: 2 }),
      addresses: fc.array(fc.constantFrom("10.0.1.1", "10.0.1.2"), { maxLength: 2 }),
      reverse: fc.constantFrom("web", "db"),
    }),
    { maxLength: 3 },
  ),
});
const changes = fc.array(
  fc.record({
    put: fc.array(groups, { maxLength: 3 }),
    remove: fc.array(fc.constantFrom("a", "b")),
  }),
);

test("after any changes a set answers as one that was made whole", () => {
  fc.assert(
    fc.property(changes, (all) => {
      const changed = new NameIndex({ suffix: "net", subnets: [] });
      for (const change of all) changed.change(change);
      const whole = new NameIndex({ suffix: "net", subnets: [] });
      whole.change({ put: changed.groups, remove: [] });
      const view = (index: NameIndex) => ({
        names: ["web", "db", "tasks.web"].map((name) => index.find(name)?.addresses.toSorted()),
        reverse: ["10.0.1.1", "10.0.1.2"].map((address) => index.findAddress(address)?.toSorted()),
      });
      assert.deepEqual(view(changed), view(whole));
    }),
  );
});
