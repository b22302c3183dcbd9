import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { LocalNetwork } from "./desired-links.ts";
import { SandboxLists } from "./sandbox-lists.ts";
import { local, makeEndpoint, makeNetwork, makePlace, makeService, sandboxOf } from "./testing.ts";

const PLACE = makePlace();

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
    assert.equal(lists.update({ place: PLACE, local: [one, two] }), before);

    const other = network(4_098, [22], 12, 13);
    const after = lists.update({ place: PLACE, local: [one, other] });
    assert.equal(after.get(sandboxOf(11)), before.get(sandboxOf(11)));
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
});
