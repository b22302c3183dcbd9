import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { desired } from "./desired.ts";
import { makeFacts, makeView } from "./testing.ts";

const WITH_TASK = makeView({ localLinks: [{ address: "10.255.0.9", link: "wv0aff0009" }] });

describe("the network that a host should have", () => {
  for (const [filtersPaths, expected] of [
    [false, "0"],
    [true, "2"],
  ] as const) {
    it(`has the tunnel filter paths by ${expected} where the host ${filtersPaths ? "does" : "does not"}`, () => {
      const facts = { ...makeFacts(WITH_TASK), filtersPaths };
      const { sysctls } = desired(WITH_TASK, facts).network;
      assert.equal(sysctls.get("net/ipv4/conf/weft0/rp_filter"), expected);
      assert.equal(sysctls.get("net/ipv4/conf/weft0/accept_local"), "1");
      assert.equal(sysctls.get("net/ipv4/conf/wv0aff0009/rp_filter"), "2");
      assert.equal(sysctls.get("net/ipv4/conf/wv0aff0009/accept_local"), undefined);
    });
  }

  it("has a routing rule only where tasks reply", () => {
    const rulesOf = (view: typeof WITH_TASK) => desired(view, makeFacts(view)).network.rules.size;
    assert.equal(rulesOf(makeView()), 0);
    assert.notEqual(rulesOf(WITH_TASK), 0);
  });
});
