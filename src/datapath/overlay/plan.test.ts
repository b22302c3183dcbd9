import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { runTransaction } from "../nft/fake.ts";
import { planTransaction } from "../nft/plan.ts";
import { type Meddling, meddledRuleset } from "../nft/testing.ts";
import { overlayBatches } from "./command.ts";
import { desiredLinks, type LocalNetwork, type OverlayPlace } from "./desired-links.ts";
import { hostRules } from "./host-rules.ts";
import { type Networks, narrow } from "./narrow.ts";
import { planLinks } from "./plan.ts";
import {
  type BridgePort,
  EMPTY_OVERLAYS,
  type OverlayState,
  type TunnelLink,
  wordsOf,
} from "./state.ts";
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

/** What a kernel can hold: ports of bridges that are there, and entries that hang on links that are there. */
function consistent(state: OverlayState): OverlayState {
  const only = <T>(map: ReadonlyMap<string, T>, isThere: (key: string, value: T) => boolean) =>
    new Map([...map].filter(([key, value]) => isThere(key, value)));
  const { bridges, tunnels } = state;
  const isTunnel = (name: string) => name.startsWith("wx");
  const ports = only(
    state.ports,
    (name, { bridge }) => bridges.has(bridge) && (!isTunnel(name) || tunnels.has(name)),
  );
  const ofTunnel = (key: string) => tunnels.has(wordsOf(key)[0]);
  return {
    ...{ bridges, tunnels, ports },
    entries: only(state.entries, (key, port) => ports.get(port)?.bridge === wordsOf(key)[0]),
    remotes: only(state.remotes, ofTunnel),
    neighbours: only(state.neighbours, ofTunnel),
    sysctls: only(state.sysctls, (path) => bridges.has(path.split("/")[3] ?? "")),
  };
}

/** The state after somebody took things away, changed values, and put things there that nobody asked for. */
function meddledWith(state: OverlayState, chance: () => Meddling): OverlayState {
  const bridges = [...state.bridges.keys()];
  const meddle = <T>(map: ReadonlyMap<string, T>, change: (value: T) => T) =>
    new Map(
      [...map].flatMap(([key, value]): [string, T][] => {
        const what = chance();
        if (what === "lost") return [];
        return [[key, what === "changed" ? change(value) : value]];
      }),
    );
  const strange = <T>(map: ReadonlyMap<string, T>, entries: readonly [string, T][]) =>
    new Map([...map, ...entries.filter(() => chance() === "changed")]);
  const [tunnel = "wx001001"] = state.tunnels.keys();
  const [strangeMAC, strangePlace] = ["02:42:0a:00:01:63", "192.0.2.1"];
  const oneOf = (tunnelLink: TunnelLink): TunnelLink => ({
    ...tunnelLink,
    mtu: tunnelLink.mtu - (chance() === "changed" ? 100 : 0),
    local: chance() === "changed" ? strangePlace : tunnelLink.local,
    learning: chance() === "changed",
    proxy: chance() !== "changed",
    port: tunnelLink.port + (chance() === "changed" ? 1 : 0),
  });
  const otherPort = (port: BridgePort): BridgePort => ({
    bridge: chance() === "kept" ? port.bridge : (bridges.at(-1) ?? port.bridge),
    learning: chance() === "changed",
    flood: chance() === "changed" ? !port.flood : port.flood,
    up: chance() === "kept",
  });
  const ports = meddle(state.ports, otherPort);
  const strangeEntries = [...ports].map(([name, { bridge }], at): [string, string] => [
    `${bridge} ${strangeMAC}:${at}`,
    name,
  ]);
  const lastPort = [...ports.keys()].at(-1);
  return consistent({
    bridges: strange(
      meddle(state.bridges, () => false),
      [["wb00ffff", true]],
    ),
    tunnels: strange(meddle(state.tunnels, oneOf), [
      [
        "wx00ffff",
        { vni: 65_535, port: 4789, local: strangePlace, learning: true, proxy: false, mtu: 1450 },
      ],
    ]),
    ports,
    entries: strange(
      meddle(state.entries, (port) => lastPort ?? port),
      strangeEntries,
    ),
    remotes: strange(
      meddle(state.remotes, () => strangePlace),
      [[`${tunnel} ${strangeMAC}`, strangePlace]],
    ),
    neighbours: strange(
      meddle(state.neighbours, () => strangeMAC),
      [[`${tunnel} 10.0.1.99`, strangeMAC]],
    ),
    sysctls: meddle(state.sysctls, (value) => `${value}9`),
  });
}

describe("links of overlay networks", () => {
  it("whatever was taken away, changed or put there, a plan mends it, and a second one does nothing", () => {
    const luck = fc.infiniteStream(fc.constantFrom<Meddling>("lost", "changed", "kept", "kept"));
    fc.assert(
      fc.property(anyNetworks, luck, (networks, chances) => {
        const wanted = linksOf(networks);
        const found = meddledWith(wanted, () => chances.next().value);
        const mended = runLinkPlan(found, planLinks(found, wanted));
        assert.deepEqual(sorted(mended), sorted(wanted));
        const again = planLinks(mended, wanted);
        assert.deepEqual([...again.additions, ...again.removals], []);
      }),
      { numRuns: 300 },
    );
  });

  it("the host's rules for them are mended likewise", () => {
    const luck = fc.infiniteStream(fc.constantFrom<Meddling>("lost", "changed", "kept", "kept"));
    fc.assert(
      fc.property(anyNetworks, luck, ({ place, local: networks }, chances) => {
        const wanted = hostRules(place, networks);
        const found = meddledRuleset(wanted, () => chances.next().value);
        const mended = runTransaction(found, planTransaction(found, wanted));
        assert.deepEqual(planTransaction(mended, wanted), []);
        assert.deepEqual(new Set(mended.keys()), new Set(wanted.keys()));
      }),
    );
  });

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
        after.local.sort((a, b) => a.vni - b.vni);
        const whole = planLinks(linksOf(one), linksOf(after));
        const narrowed = narrow(one, after);
        const part = planLinks(linksOf(narrowed.before), linksOf(narrowed.after));
        const texts = (commands: readonly unknown[]) =>
          commands.map((command) => JSON.stringify(command)).sort();
        assert.deepEqual(texts(part.additions), texts(whole.additions));
        assert.deepEqual(texts(part.removals), texts(whole.removals));
        const rulesOf = ({ place, local: networks }: Networks) => hostRules(place, networks);
        const withWitness = ({ place, local: networks }: Networks) =>
          hostRules(place, [...narrowed.witness, ...networks]);
        assert.deepEqual(
          planTransaction(withWitness(narrowed.before), withWitness(narrowed.after)),
          planTransaction(rulesOf(one), rulesOf(after)),
        );
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
