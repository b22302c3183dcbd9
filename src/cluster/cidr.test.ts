import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  addressNumber,
  contains,
  formatAddress,
  formatCidr,
  overlaps,
  parseCidr,
  sizeOf,
} from "./cidr.ts";

test("addresses and networks survive the way there and back", () => {
  fc.assert(
    fc.property(fc.ipV4(), fc.nat(32), (address, length) => {
      assert.equal(formatAddress(addressNumber(address)), address);
      const cidr = parseCidr(`${address}/${length}`);
      assert.deepEqual(parseCidr(formatCidr(cidr)), cidr);
      assert.ok(contains(cidr, parseCidr(`${address}/32`)));
    }),
  );
});

test("containing and overlapping", () => {
  const [wide, narrow, other] = ["10.0.0.0/8", "10.255.0.0/16", "172.16.0.0/12"].map(parseCidr);
  assert.ok(wide && narrow && other);
  assert.ok(contains(wide, narrow) && !contains(narrow, wide));
  assert.ok(overlaps(narrow, wide) && !overlaps(other, wide));
  assert.equal(sizeOf(narrow), 65_536);
  assert.equal(formatCidr(parseCidr("10.255.3.4/16")), "10.255.0.0/16");
});

test("anything else is refused", () => {
  for (const text of ["10.0.0.0", "10.0.0.0/33", "10.0.0/8", "::/0", "10.0.0.0/8/9", "10.0.0.0/"]) {
    assert.throws(() => parseCidr(text), { message: `invalid CIDR address: ${text}` });
  }
});
