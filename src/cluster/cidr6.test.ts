import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  contains6,
  formatCidr6,
  formatIPv6,
  ipv6At,
  ipv6Number,
  overlaps6,
  parseCidr6,
} from "./cidr6.ts";

test("addresses are written as RFC 5952 has them", () => {
  const rows: [string, string][] = [
    ["fd00:0:0:0:0:0:0:1", "fd00::1"],
    ["0:0:0:0:0:0:0:0", "::"],
    ["::1", "::1"],
    ["fd00::", "fd00::"],
    ["1:0:0:2:0:0:0:3", "1:0:0:2::3"],
    ["1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"],
    ["::ffff:10.0.0.1", "::ffff:a00:1"],
  ];
  for (const [from, to] of rows) assert.equal(formatIPv6(ipv6Number(from)), to, from);
});

test("any address is read as it was written", () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }), (number) => {
      assert.equal(ipv6Number(formatIPv6(number)), number);
    }),
  );
});

test("subnets are cleared of host bits, counted in and compared", () => {
  assert.equal(formatCidr6(parseCidr6("fd00:1::7/64")), "fd00:1::/64");
  assert.equal(ipv6At("fd00:1::/64", 258), "fd00:1::102");
  const [wide, narrow] = [parseCidr6("fd00::/16"), parseCidr6("fd00:1::/64")];
  assert.ok(contains6(wide, narrow) && !contains6(narrow, wide));
  assert.ok(overlaps6(narrow, wide) && !overlaps6(narrow, parseCidr6("fd00:2::/64")));
  for (const bad of [
    "fd00::",
    "fd00::/129",
    "10.0.0.0/8",
    "fd00::/x",
    "fd00::/64/1",
    "fe80::1%eth0/64",
  ]) {
    assert.throws(() => parseCidr6(bad), bad);
  }
});
