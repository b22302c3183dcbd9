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

  it("sends the tunnel's packets between the addresses that are for them, from this host's to each peer's", () => {
    const [second, third] = WITH_TASK.peers;
    assert.ok(second && third);
    const view = {
      ...WITH_TASK,
      self: { ...WITH_TASK.self, tunnelAddress: "10.1.0.1" },
      peers: [{ ...second, tunnelAddress: "10.1.0.2" }, third],
    };
    const { network, ruleset } = desired(view, makeFacts(view));
    assert.equal(network.links.get("weft0")?.local, "10.1.0.1");
    assert.deepEqual([...network.fdb.values()], ["10.1.0.2", third.underlayAddress]);
    const peers = ruleset.get("inet weft")?.sets.get("peers")?.elements;
    assert.deepEqual([...(peers?.keys() ?? [])], ["10.1.0.2", third.underlayAddress]);
  });

  it("has a routing rule only where tasks reply", () => {
    const rulesOf = (view: typeof WITH_TASK) => desired(view, makeFacts(view)).network.rules.size;
    assert.equal(rulesOf(makeView()), 0);
    assert.notEqual(rulesOf(WITH_TASK), 0);
  });
});
