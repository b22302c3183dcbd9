import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import type { LocalNetwork } from "./desired-links.ts";
import { SandboxLists } from "./sandbox-lists.ts";
import { local, makeEndpoint, makeNetwork, makePlace, makeService, sandboxOf } from "./testing.ts";

const PLACE = makePlace();
const OTHER_PLACE = makePlace({ peers: new Map() });

function network(
  vni: number,
  endpoints: readonly number[],
  ...here: readonly number[]
): LocalNetwork {
  const services = [
    makeService(
      [`10.0.1.${vni - 4_096}`],
      endpoints.map((byte) => makeEndpoint(byte, 2)),
    ),
  ];
  return local(makeNetwork(vni, { services }), ...here);
}

const livesOf = (lists: ReturnType<SandboxLists["update"]>, byte: number) =>
  lists.get(sandboxOf(byte))?.map(({ address, live }) => `${address}: ${live.length}`);

describe("virtual IPs of containers", () => {
  it("are one list for all containers of the same networks, and the same one until it changes", () => {
    const lists = new SandboxLists();
    const one = network(4_097, [21], 11, 12, 13);
    const two = network(4_098, [22, 23], 12, 13);
    const before = lists.update({ place: PLACE, local: [one, two] });
    assert.deepEqual(livesOf(before, 11), ["10.0.1.1: 1"]);
    assert.deepEqual(livesOf(before, 12), ["10.0.1.1: 1", "10.0.1.2: 2"]);
    assert.equal(before.get(sandboxOf(12)), before.get(sandboxOf(13)));
    const were = new Map(before);
    assert.deepEqual(lists.update({ place: PLACE, local: [one, two] }), were);

    const other = network(4_098, [22], 12, 13);
    const after = new Map(lists.update({ place: PLACE, local: [one, other] }));
    assert.equal(after.get(sandboxOf(11)), were.get(sandboxOf(11)));
    assert.deepEqual(livesOf(after, 13), ["10.0.1.1: 1", "10.0.1.2: 1"]);

    // Told anew, and nothing of it is otherwise.
    const again = lists.update({ place: PLACE, local: [one, network(4_098, [22], 12, 13)] });
    assert.equal(again.get(sandboxOf(12)), after.get(sandboxOf(12)));
  });

  it("lead to no node that is no member any more, and those of a network that was left are gone", () => {
    const lists = new SandboxLists();
    const one = network(4_097, [21], 11);
    lists.update({ place: PLACE, local: [one] });
    const alone = lists.update({ place: makePlace({ peers: new Map() }), local: [one] });
    assert.deepEqual(livesOf(alone, 11), ["10.0.1.1: 0"]);
    assert.deepEqual([...lists.update({ place: PLACE, local: [] })], []);
  });

  it("are after any changes what they are for whoever sees the networks for the first time", () => {
    const anyLocal = fc
      .uniqueArray(
        fc.record({
          vni: fc.integer({ min: 4_097, max: 4_101 }),
          endpoints: fc.uniqueArray(fc.integer({ min: 21, max: 24 })),
          here: fc.uniqueArray(fc.integer({ min: 11, max: 14 })),
        }),
        { selector: ({ vni }) => vni },
      )
      .map((list) => list.toSorted((a, b) => a.vni - b.vni));
    const change = fc.record({ wanted: anyLocal, isOtherPlace: fc.boolean() });
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 8 }), (changes) => {
        const lists = new SandboxLists();
        const known = new Map<string, LocalNetwork>();
        for (const { wanted, isOtherPlace } of changes) {
          const networks = wanted.map(({ vni, endpoints, here }) => {
            const key = JSON.stringify([vni, endpoints, here]);
            const made = known.get(key) ?? network(vni, endpoints, ...here);
            known.set(key, made);
            return made;
          });
          const place = isOtherPlace ? OTHER_PLACE : PLACE;
          const seen = lists.update({ place, local: networks });
          assert.deepEqual(seen, new SandboxLists().update({ place, local: networks }));
          // Who is on the same networks has the very same list, so that it is made and compared once.
          const byNetworks = new Map<string, unknown>();
          for (const [sandbox, list] of seen) {
            const on = networks.filter(({ links }) =>
              links.some((link) => link.sandbox === sandbox),
            );
            const key = on.map(({ vni }) => vni).join(" ");
            assert.equal(byNetworks.get(key) ?? list, list);
            byNetworks.set(key, list);
          }
        }
      }),
      { numRuns: 200 },
    );
  });
});
