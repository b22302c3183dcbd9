import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { overlayBatches } from "./command.ts";
import { desiredLinks, type LocalNetwork, type OverlayPlace } from "./desired-links.ts";
import { narrow } from "./narrow.ts";
import { planLinks } from "./plan.ts";
import { EMPTY_OVERLAYS, type OverlayState } from "./state.ts";
import {
  anyNetworks,
  local,
  makeEndpoint,
  makeNetwork,
  makePlace,
  makeService,
  runLinkPlan,
} from "./testing.ts";

const linksOf = ({ place, local }: { place: OverlayPlace; local: readonly LocalNetwork[] }) =>
  desiredLinks(place, local);

/** The kernel as it is when the containers of `after` have their links, and those of `before` no more. */
function withContainersOf(before: OverlayState, after: OverlayState): OverlayState {
  const isContainer = (name: string) => name.startsWith("wo");
  const ports = new Map(
    [...before.ports].filter(([name]) => !isContainer(name) || after.ports.has(name)),
  );
  const entries = new Map(
    [...before.entries].filter(([, port]) => !isContainer(port) || after.ports.has(port)),
  );
  return { ...before, ports, entries };
}

describe("links of overlay networks", () => {
  it("from any networks to any others, and then nothing more is to do", () => {
    fc.assert(
      fc.property(anyNetworks, anyNetworks, (one, other) => {
        const wanted = linksOf(other);
        const found = withContainersOf(linksOf(one), wanted);
        const made = runLinkPlan(found, planLinks(found, wanted));
        // Settings are put right and never taken back.
        const sysctls = new Map([...made.sysctls].filter(([path]) => wanted.sysctls.has(path)));
        assert.deepEqual(sorted({ ...made, sysctls }), sorted(wanted));
        const again = planLinks(made, wanted);
        assert.deepEqual([...again.additions, ...again.removals], []);
      }),
    );
  });

  it("planning only what changed is the same plan", () => {
    fc.assert(
      fc.property(anyNetworks, anyNetworks, fc.boolean(), (one, other, isSamePlace) => {
        const after = { place: isSamePlace ? one.place : other.place, local: [...other.local] };
        // Some networks are as they were.
        const [shared] = one.local;
        if (shared !== undefined && !after.local.some(({ vni }) => vni === shared.vni)) {
          after.local.push(shared);
        }
        const whole = planLinks(linksOf(one), linksOf(after));
        const narrowed = narrow(one, after);
        const part = planLinks(linksOf(narrowed.before), linksOf(narrowed.after));
        const texts = (commands: readonly unknown[]) =>
          commands.map((command) => JSON.stringify(command)).sort();
        assert.deepEqual(texts(part.additions), texts(whole.additions));
        assert.deepEqual(texts(part.removals), texts(whole.removals));
      }),
    );
  });

  it("say who is where, and nothing else: no entry for all addresses", () => {
    const endpoints = [makeEndpoint(11, 1), makeEndpoint(12, 2), makeEndpoint(13, 9)];
    const network = makeNetwork(4097, { services: [makeService(["10.0.1.2"], endpoints)] });
    const wanted = desiredLinks(makePlace(), [local(network, 11)]);
    assert.deepEqual(
      [...wanted.entries],
      [
        ["wb001001 02:42:0a:00:01:0c", "wx001001"],
        ["wb001001 02:42:0a:00:01:0b", "wo409711"],
      ],
    );
    assert.deepEqual([...wanted.remotes], [["wx001001 02:42:0a:00:01:0c", "192.168.99.101"]]);
    assert.deepEqual([...wanted.neighbours.keys()], ["wx001001 10.0.1.12", "wx001001 fd00:1::c"]);
    const { additions } = planLinks(EMPTY_OVERLAYS, wanted);
    const lines = overlayBatches(additions).flatMap((batch) =>
      batch.tool === "sysctl" ? [`${batch.path} = ${batch.value}`] : batch.lines,
    );
    assert.ok(
      lines.includes(
        "link add wx001001 mtu 1450 type vxlan id 4097 dstport 4789 local 192.168.99.100 nolearning proxy ttl 64",
      ),
    );
    assert.ok(lines.includes("net/ipv4/conf/wb001001/forwarding = 0"));
    assert.ok(
      lines.includes(
        "fdb replace 02:42:0a:00:01:0c dev wx001001 dst 192.168.99.101 self permanent",
      ),
    );
    assert.ok(lines.includes("fdb replace 02:42:0a:00:01:0c dev wx001001 master static"));
  });

  it("a bridge with a container that nobody has told of yet is left", () => {
    const found = desiredLinks(makePlace(), [local(makeNetwork(4097), 11)]);
    const { removals } = planLinks(found, EMPTY_OVERLAYS);
    assert.deepEqual(removals, [{ kind: "link.delete", name: "wx001001" }]);
    const told = planLinks(found, desiredLinks(makePlace(), [local(makeNetwork(4097))]));
    assert.deepEqual([...told.additions, ...told.removals], []);
  });

  it("a network too narrow for IPv6 has none", () => {
    const services = [makeService(["10.0.1.2"], [makeEndpoint(12, 2)])];
    const narrowOne = makeNetwork(4097, { services, mtu: 1200 });
    const wanted = desiredLinks(makePlace(), [local(narrowOne)]);
    assert.deepEqual([...wanted.neighbours.keys()], ["wx001001 10.0.1.12"]);
    assert.ok(![...wanted.sysctls.keys()].some((path) => path.startsWith("net/ipv6/")));
  });
});

function sorted(state: OverlayState): unknown {
  return Object.fromEntries(
    Object.entries(state).map(([name, map]) => [
      name,
      [...(map as ReadonlyMap<string, unknown>)].sort(([a], [b]) => (a < b ? -1 : 1)),
    ]),
  );
}
