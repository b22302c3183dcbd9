import assert from "node:assert/strict";
import { SocketAddress } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import {
  addressBytes,
  addressOfBytes,
  byFamily,
  canonicalIPv6,
  formatIPv6Groups,
  ipv6Groups,
  ipv6OfDigits,
} from "./ip-address.ts";

const CASES = [
  ["127.0.0.1", "7f000001"],
  ["::", "00000000000000000000000000000000"],
  ["::1", "00000000000000000000000000000001"],
  ["fd00::", "fd000000000000000000000000000000"],
  ["2001:db8::2:1", "20010db8000000000000000000020001"],
  ["1:0:0:2::3", "00010000000000020000000000000003"],
] as const;

for (const [text, hex] of CASES) {
  test(`${text} and its bytes`, () => {
    assert.equal(addressBytes(text)?.toString("hex"), hex);
    assert.equal(addressOfBytes(Buffer.from(hex, "hex")), text);
  });
}

test("an IPv4-mapped address is read as IPv4, also when it is written with dots", () => {
  assert.equal(addressOfBytes(addressBytes("::ffff:10.0.0.7") ?? Buffer.alloc(0)), "10.0.0.7");
});

test("what is no address has no bytes, and other lengths are no address", () => {
  for (const text of ["", "host", "1.2.3", "fe80::1%eth0"])
    assert.equal(addressBytes(text), undefined);
  assert.equal(addressOfBytes(Buffer.alloc(5)), undefined);
});

test("any IPv6 address survives both ways", () => {
  fc.assert(
    fc.property(fc.ipV6(), (text) => {
      const bytes = addressBytes(text) ?? Buffer.alloc(0);
      const back = addressOfBytes(bytes) ?? "";
      assert.deepEqual(addressOfBytes(addressBytes(back) ?? Buffer.alloc(0)), back);
    }),
  );
});

test("addresses, networks and what has them are told apart by family", () => {
  assert.deepEqual(byFamily(["10.0.0.0/8", "fd00::/64", "127.0.0.1", "::1"]), {
    ipv4: ["10.0.0.0/8", "127.0.0.1"],
    ipv6: ["fd00::/64", "::1"],
  });
  const [a, b] = [{ subnet: "fd00::/64" }, { subnet: "10.0.0.0/8" }];
  assert.deepEqual(
    byFamily([a, b], ({ subnet }) => subnet),
    { ipv4: [b], ipv6: [a] },
  );
});

test("IPv6 addresses are spelled as the system spells them", () => {
  const group = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff }));
  // Those that begin with zeros the system may show with an IPv4 address in them.
  const groups = fc.tuple(
    fc.integer({ min: 1, max: 0xffff }),
    ...Array.from({ length: 7 }, () => group),
  );
  fc.assert(
    fc.property(groups, (made) => {
      const text = formatIPv6Groups(made);
      assert.deepEqual(ipv6Groups(text), made);
      const whole = made.map((each) => each.toString(16).padStart(4, "0"));
      assert.equal(text, new SocketAddress({ address: whole.join(":"), family: "ipv6" }).address);
      assert.equal(ipv6OfDigits(whole.join("")), text);
      assert.equal(canonicalIPv6(whole.join(":").toUpperCase()), text);
    }),
  );
});
