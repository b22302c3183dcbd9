import assert from "node:assert/strict";
import { isIPv6 } from "node:net";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { formatIPv6, groupsOf, ipv6Of } from "./ipv6.ts";

describe("IPv6 addresses of the mesh", () => {
  for (const [subnet6, subnet, address, expected] of [
    ["fd5a:9c3e:71b2::/64", "10.255.0.0/16", "10.255.0.9", "fd5a:9c3e:71b2::9"],
    ["fd5a:9c3e:71b2::/64", "10.255.0.0/16", "10.255.1.0", "fd5a:9c3e:71b2::100"],
    ["fd5a:9c3e:71b2::/64", "10.0.0.0/8", "10.255.0.9", "fd5a:9c3e:71b2::ff:9"],
    ["fd00:0:0:1::/64", "172.31.0.0/16", "172.31.0.1", "fd00:0:0:1::1"],
  ] as const) {
    it(`${address} of ${subnet} is ${expected}`, () => {
      assert.equal(ipv6Of(subnet6, subnet, address), expected);
    });
  }

  it("are spelled as the system spells them", () => {
    const group = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff }));
    fc.assert(
      fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), (groups) => {
        const text = formatIPv6(groups);
        assert.ok(isIPv6(text), text);
        assert.deepEqual(groupsOf(text), groups);
        const spelled = new URL(`http://[${text}]`).hostname;
        assert.equal(`[${text}]`, spelled);
      }),
    );
  });
});
