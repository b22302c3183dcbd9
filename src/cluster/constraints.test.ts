import assert from "node:assert/strict";
import { test } from "node:test";
import { meetsExpressions, parseConstraints } from "./constraints.ts";
import { makeNode } from "./factories.ts";

const node = makeNode({
  id: "abc",
  hostname: "Alpha",
  role: "manager",
  addr: "192.168.99.100",
  labels: { zone: "east", Rack: "7" },
});

const rows: readonly (readonly [string, boolean])[] = [
  ["node.id==ABC", true],
  ["node.hostname == alpha", true],
  ["NODE.HOSTNAME==alpha", true],
  ["node.hostname!=alpha", false],
  ["node.role==manager", true],
  ["node.role!=manager", false],
  ["node.platform.os==linux", true],
  ["node.platform.arch==x86_64", true],
  ["node.labels.zone==EAST", true],
  ["node.labels.zone==eas", false],
  ["node.labels.rack==7", false],
  ["node.labels.Rack==7", true],
  ["node.labels.ssd==true", false],
  ["node.labels.ssd!=true", true],
  ["engine.labels.x!=y", true],
  ["node.ip==192.168.99.100", true],
  ["node.ip==192.168.99.0/24", true],
  ["node.ip!=192.168.99.0/24", false],
  ["node.ip==10.0.0.0/8", false],
  ["node.ip!=10.0.0.0/8", true],
  ["node.ip!=nonsense", false],
  ["node.ip==192.168.99.100/", false],
  ["node.ip!=10.0.0.0/33", false],
  ["node.ip!=10.0.0.0/8/8", false],
  ["node.ip==::ffff:192.168.99.100", true],
  ["node.ip==fd00::/8", false],
  ["node.ip!=::/0", true],
  ["node.unknown==x", false],
  ["node.unknown!=x", false],
  ["zone==east", false],
];
for (const [expression, expected] of rows) {
  test(`${expression} is ${expected ? "met" : "not met"}`, () => {
    assert.equal(meetsExpressions([expression], node), expected);
  });
}

const node6 = makeNode({ id: "six", hostname: "six", addr: "2001:db8:99::100" });
const rows6: readonly (readonly [string, boolean])[] = [
  ["node.ip==2001:db8:99::100", true],
  ["node.ip==2001:DB8:99:0::100", true],
  ["node.ip==2001:db8:99::101", false],
  ["node.ip!=2001:db8:99::101", true],
  ["node.ip==2001:db8:99::/64", true],
  ["node.ip!=2001:db8:99::/64", false],
  ["node.ip==2001:db8::/32", true],
  ["node.ip!=fd00::/8", true],
  ["node.ip==::/0", true],
  ["node.ip==2001:db8:99::/129", false],
  ["node.ip!=2001:db8:99::/129", false],
  ["node.ip!=2001:db8:99::/", false],
  ["node.ip==0.0.0.0/0", false],
  ["node.ip!=192.168.99.0/24", true],
];
for (const [expression, expected] of rows6) {
  test(`${expression} is ${expected ? "met" : "not met"} by a node at an IPv6 address`, () => {
    assert.equal(meetsExpressions([expression], node6), expected);
  });
}

test("several must all be met", () => {
  assert.equal(meetsExpressions(["node.role==manager", "node.labels.zone==west"], node), false);
  assert.equal(meetsExpressions([], node), true);
  assert.equal(meetsExpressions(undefined, node), true);
});

test("what does not parse is refused in Docker's words", () => {
  const refusals: readonly (readonly [string, string])[] = [
    ["node.role=manager", "constraint expected one operator from ==, !="],
    ["==manager", "key '' is invalid"],
    ["1node==x", "key '1node' is invalid"],
    ["node.role==", "value '' is invalid"],
    ["node.role==a@b", "value 'a@b' is invalid"],
  ];
  for (const [expression, message] of refusals) {
    assert.throws(() => parseConstraints([expression]), { name: "InvalidParameterError", message });
    assert.equal(meetsExpressions([expression], node), false);
  }
});
