import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { runTransaction } from "../nft/fake.ts";
import { planTransaction } from "../nft/plan.ts";
import type { Ruleset } from "../nft/ruleset.ts";
import { type Meddling, meddledRuleset } from "../nft/testing.ts";
import { knownOf, reachedOf, SANDBOX_TABLE, sandboxRules, withNewChains } from "./sandbox-rules.ts";
import { local, makeEndpoint, makeNetwork, makePlace, makeService } from "./testing.ts";
import { virtualIPsOf } from "./virtual-ips.ts";

const ENDPOINTS = [
  makeEndpoint(11, 1),
  makeEndpoint(12, 2),
  makeEndpoint(13, 2, "draining"),
  makeEndpoint(14, 3, "starting"),
  // Of a node that is no member any more, and of this one without a link.
  makeEndpoint(15, 9),
  makeEndpoint(16, 1),
];
const NETWORK = makeNetwork(4097, {
  services: [
    makeService(["10.0.1.2", "FD00:1:0::2"], ENDPOINTS),
    makeService(["10.0.1.3"], []),
    makeService([], [makeEndpoint(12, 2)]),
  ],
});

describe("virtual IPs", () => {
  it("lead to live endpoints that are reached from here, each family to its own", () => {
    assert.deepEqual(virtualIPsOf(makePlace(), local(NETWORK, 11)), [
      { address: "10.0.1.2", live: ["10.0.1.11", "10.0.1.12"], draining: ["10.0.1.13"] },
      { address: "fd00:1::2", live: ["fd00:1::b", "fd00:1::c"], draining: ["fd00:1::d"] },
      { address: "10.0.1.3", live: [], draining: [] },
    ]);
  });

  it("are maps and one chain for each number of endpoints, however many services there are", () => {
    const rules = sandboxRules(virtualIPsOf(makePlace(), local(NETWORK, 11)), new Map());
    const table = rules.get(SANDBOX_TABLE);
    assert.deepEqual(
      [...(table?.sets.get("virtual_ips")?.elements ?? [])],
      [["10.0.1.2", "goto ip_one_of_2"]],
    );
    assert.deepEqual(
      [...(table?.sets.get("endpoints6")?.elements ?? [])],
      [
        ["fd00:1::2 . 0", "fd00:1::b"],
        ["fd00:1::2 . 1", "fd00:1::c"],
      ],
    );
    assert.deepEqual(
      table?.chains.get("ip_one_of_2")?.rules.map(({ text }) => text),
      [
        'meta l4proto tcp ct timeout set "kept"',
        "dnat ip to ip daddr . numgen random mod 2 map @endpoints",
        "dnat ip to ip daddr . numgen random mod 1 map @endpoints",
      ],
    );
    assert.deepEqual(knownOf(rules), ["10.0.1.2", "10.0.1.3", "fd00:1::2"]);
    assert.deepEqual(reachedOf(rules).slice(0, 3), ["10.0.1.11", "10.0.1.12", "10.0.1.13"]);
  });

  const anyList = fc.array(
    fc.record({
      address: fc.integer({ min: 2, max: 6 }).map((byte) => `10.0.1.${byte}`),
      live: fc.uniqueArray(fc.constantFrom("10.0.1.11", "10.0.1.12", "10.0.1.13", "10.0.1.14")),
      draining: fc.constant([]),
    }),
    { maxLength: 4 },
  );
  const anyVirtualIPs = anyList.map((list) => [
    ...new Map(list.map((one) => [one.address, one])).values(),
  ]);

  it("change in steps of which each is whole, and no chain that a packet may be in goes", () => {
    fc.assert(
      fc.property(anyVirtualIPs, anyVirtualIPs, (one, other) => {
        const before = taken(new Map(), sandboxRules(one, new Map()));
        const wanted = sandboxRules(other, before);
        const prepared = withNewChains(before, wanted);
        const half = taken(before, prepared);
        assert.deepEqual(mapsOf(half), mapsOf(before), "the first step leads nobody elsewhere");
        const after = taken(half, wanted);
        assert.deepEqual(planTransaction(after, wanted), []);
        for (const name of before.get(SANDBOX_TABLE)?.chains.keys() ?? []) {
          assert.ok(after.get(SANDBOX_TABLE)?.chains.has(name), name);
        }
      }),
    );
  });
});

describe("virtual IPs that somebody meddled with", () => {
  it("are put right by the two steps, and then nothing more is to do", () => {
    const anyLive = fc.uniqueArray(fc.integer({ min: 11, max: 16 }), { maxLength: 4 });
    const anyBytes = fc.dictionary(fc.constantFrom("2", "3", "4"), anyLive);
    const luck = fc.infiniteStream(fc.constantFrom<Meddling>("lost", "changed", "kept", "kept"));
    fc.assert(
      fc.property(anyBytes, luck, (services, chances) => {
        const virtualIPs = Object.entries(services).flatMap(([byte, live]) =>
          ["10.0.1.", "fd00:1::"].map((prefix) => ({
            address: `${prefix}${byte}`,
            live: live.map((one) => `${prefix}${one}`),
            draining: [],
          })),
        );
        const found = meddledRuleset(
          sandboxRules(virtualIPs, new Map()),
          () => chances.next().value,
        );
        const wanted = sandboxRules(virtualIPs, found);
        const mended = taken(taken(found, withNewChains(found, wanted)), wanted);
        assert.deepEqual(planTransaction(mended, sandboxRules(virtualIPs, mended)), []);
        assert.deepEqual(mapsOf(mended).length, mapsOf(wanted).length);
      }),
    );
  });
});

function taken(before: Ruleset, after: Ruleset): Ruleset {
  return runTransaction(before, planTransaction(before, after));
}

function mapsOf(rules: Ruleset): readonly unknown[] {
  const sets = rules.get(SANDBOX_TABLE)?.sets ?? new Map();
  return [...sets].map(([name, { elements }]) => [name, [...elements]]);
}
