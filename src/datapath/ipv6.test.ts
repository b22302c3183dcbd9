import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ipv6Of } from "./ipv6.ts";

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
});
