import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { LocalNetworks } from "./local-networks.ts";
import { makeNetwork, sandboxOf } from "./testing.ts";
import type { OverlayLink, OverlayNetwork } from "./view.ts";

const linkOf = (vni: number): OverlayLink => ({
  ...{ vni, address: "10.0.1.5", link: `wo${vni}` },
  sandbox: sandboxOf(vni),
});

const VNIS = Array.from({ length: 100 }, (_, at) => 4_097 + at);

/** A host with these links, and how often it was asked for one. */
class Host {
  readonly links = new Set(VNIS.map((vni) => linkOf(vni).link));
  readonly asked: string[] = [];
  readonly networks = new LocalNetworks();

  update(
    networks: readonly OverlayNetwork[],
    overlayLinks: readonly OverlayLink[],
    believed = true,
  ) {
    this.asked.length = 0;
    const isThere = (link: string) => {
      this.asked.push(link);
      return this.links.has(link);
    };
    return this.networks.update({ networks, overlayLinks }, isThere, believed);
  }
}

describe("the networks of a node", () => {
  it("are the very same objects for as long as nothing of them changes, and no link is looked for", () => {
    const host = new Host();
    const networks = VNIS.map((vni) => makeNetwork(vni));
    const before = host.update(networks, VNIS.map(linkOf));
    // As the agent makes it: links are new objects each time.
    const changed = networks.with(3, makeNetwork(4_100, { name: "other" }));
    const after = host.update(changed, VNIS.map(linkOf));
    assert.deepEqual(host.asked, ["wo4100"]);
    const others = after.filter((network, at) => network !== before[at]);
    assert.deepEqual(
      others.map(({ network }) => network?.name),
      ["other"],
    );
  });

  it("know a container when its link is there, and miss it when all are looked for", () => {
    const host = new Host();
    const network = makeNetwork(4_097);
    host.links.delete("wo4097");
    assert.deepEqual(host.update([network], [linkOf(4_097)])[0]?.links, []);
    host.links.add("wo4097");
    const [found] = host.update([network], [linkOf(4_097)]);
    assert.deepEqual(found?.links, [linkOf(4_097)]);
    host.links.delete("wo4097");
    assert.equal(host.update([network], [linkOf(4_097)])[0], found, "believed");
    assert.deepEqual(host.update([network], [linkOf(4_097)], false)[0]?.links, []);
  });

  it("are there for a container that is still here, though nobody tells them; and go with it", () => {
    const host = new Host();
    const links = [linkOf(4_099), linkOf(4_098)];
    const found = host.update([makeNetwork(4_100)], links);
    assert.deepEqual(
      found.map(({ vni, network }) => [vni, network?.vni]),
      [
        [4_098, undefined],
        [4_099, undefined],
        [4_100, 4_100],
      ],
    );
    assert.deepEqual(host.update([], []), []);
  });
});
