import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { FAST_TABLE } from "../../base/overlay-links.ts";
import { runTransaction } from "../nft/fake.ts";
import type { Chain, Ruleset, Table } from "../nft/ruleset.ts";
import { type Meddling, meddledRuleset } from "../nft/testing.ts";
import { renderTransaction } from "../nft/transaction.ts";
import { desiredLinks } from "./desired-links.ts";
import { fastDrifts, joined, planFast } from "./fast-plan.ts";
import { type FastNetworks, fastNetworks } from "./fast-rules.ts";
import type { OverlayState } from "./state.ts";
import {
  anyNetworks,
  local,
  makeEndpoint,
  makeNetwork,
  makePlace,
  makeService,
} from "./testing.ts";

const OWN = "02:42:0a:00:01:0b";
const NEIGHBOUR = "02:42:0a:00:01:0c";
const REMOTE = "02:42:0a:00:01:0d";

const anyLinks = anyNetworks.map(({ place, local: networks }) => desiredLinks(place, networks));
const anyLuck = fc.infiniteStream(fc.constantFrom<Meddling>("lost", "changed", "kept", "kept"));

/** As a kernel counts them, from a number on. */
function indexesOf(state: OverlayState, first = 10): ReadonlyMap<string, number> {
  return new Map([...state.ports.keys()].map((name, at) => [name, first + at]));
}

function rulesetOf(networks: FastNetworks): Ruleset {
  return new Map(networks.size === 0 ? [] : [[FAST_TABLE, joined(networks)]]);
}

/** The table after what was planned has met the kernel's. */
function brought(kernel: Ruleset, from: Table | undefined, networks: FastNetworks): Ruleset {
  const to = networks.size === 0 ? undefined : joined(networks);
  return runTransaction(kernel, planFast(from, to));
}

function assertHolds(kernel: Ruleset, networks: FastNetworks): void {
  const to = networks.size === 0 ? undefined : joined(networks);
  assert.deepEqual(planFast(kernel.get(FAST_TABLE), to), []);
}

/** What befalls the table as links go: the kernel takes their chains along or does not, the keeper deletes elements. */
function byItself(ruleset: Ruleset, next: Table, chance: () => Meddling): Ruleset {
  const leadsOn = (way: string) => next.chains.has(way.replace("goto ", ""));
  return new Map(
    [...ruleset].map(([name, { sets, chains }]) => {
      const isGone = ([chain, { base }]: readonly [string, Chain]) =>
        base !== undefined && !next.chains.has(chain) && chance() === "lost";
      const left = [...sets].map(([set, { elements, ...rest }]) => {
        const found = [...elements].filter(([, way]) => leadsOn(way) || chance() !== "lost");
        return [set, { ...rest, elements: new Map(found) }] as const;
      });
      const leftChains = new Map([...chains].filter((one) => !isGone(one)));
      return [name, { sets: new Map(left), chains: leftChains }];
    }),
  );
}

interface Frame {
  readonly from: string;
  readonly source: string;
  readonly destination: string;
  readonly family: string;
  readonly length: number;
}

/** The index of the link that the rules forward it by; undefined if it goes on to the bridge. */
function forwarded(table: Table, frame: Frame, index: number): number | undefined {
  const bases = [...table.chains.values()].filter(({ base }) => base?.device === frame.from);
  for (const { text } of bases.flatMap(({ rules }) => rules)) {
    const exit = walked(table, text, frame, index);
    if (exit !== undefined) return exit;
  }
  return undefined;
}

/** Reads the statements that these rules are made of; any other fails the test. */
function walked(table: Table, text: string, frame: Frame, index: number): number | undefined {
  const statement =
    /^(?:ether saddr (\S+) |meta protocol (\S+) |meta iif != (\d+) |meta length <= (\d+) )/;
  let rest = text;
  for (let match = statement.exec(rest); match !== null; match = statement.exec(rest)) {
    const [read, source, family, iif, length] = match;
    if (source !== undefined && source !== frame.source) return undefined;
    if (family !== undefined && family !== frame.family) return undefined;
    if (iif !== undefined && Number(iif) === index) return undefined;
    if (length !== undefined && frame.length > Number(length)) return undefined;
    rest = rest.slice(read.length);
  }
  const [, map] = /^ether daddr vmap @(\w+)$/.exec(rest) ?? [];
  if (map !== undefined) {
    const led = table.sets.get(map)?.elements.get(frame.destination);
    const rules = led && table.chains.get(led.replace("goto ", ""))?.rules;
    return rules ? walked(table, rules[0]?.text ?? "", frame, index) : undefined;
  }
  const [, exit] = /^fwd to (\d+)$/.exec(rest) ?? [];
  assert.ok(exit, `cannot read: ${rest}`);
  return Number(exit);
}

describe("the fast way of overlay networks", () => {
  const endpoints = [makeEndpoint(11, 1), makeEndpoint(12, 1, "draining"), makeEndpoint(13, 2)];
  const network = makeNetwork(4097, { services: [makeService(["10.0.1.2"], endpoints)] });
  const links = desiredLinks(makePlace(), [local(network, 11, 12)]);
  const indexes = new Map([
    ["wx001001", 20],
    ["wo409711", 21],
    ["wo409712", 22],
  ]);

  it("is one rule at each link and one at each way out of it", () => {
    const table = joined(fastNetworks(links, indexes));
    const [at] = table.sets.values();
    assert.deepEqual(
      at?.elements,
      new Map([
        [REMOTE, "goto to_20"],
        [OWN, "goto to_21"],
        [NEIGHBOUR, "goto to_22"],
      ]),
    );
    const textsOf = (name: string) => table.chains.get(name)?.rules.map(({ text }) => text);
    assert.equal(table.chains.get("from_21")?.base?.device, "wo409711");
    assert.deepEqual(textsOf("from_21"), [
      `ether saddr ${OWN} meta protocol ip ether daddr vmap @at_wb001001`,
      `ether saddr ${OWN} meta protocol ip6 ether daddr vmap @at_wb001001`,
    ]);
    assert.deepEqual(textsOf("from_20"), [
      "meta protocol ip ether daddr vmap @at_wb001001",
      "meta protocol ip6 ether daddr vmap @at_wb001001",
    ]);
    assert.deepEqual(textsOf("to_20"), ["meta iif != 20 meta length <= 1450 fwd to 20"]);
    assert.deepEqual(textsOf("to_21"), ["meta iif != 21 fwd to 21"]);
  });

  it("takes nothing that the bridge would not carry to the same port", () => {
    const anyFrame = fc.record({
      source: fc.constantFrom(OWN, NEIGHBOUR, REMOTE, "02:42:0a:00:01:63"),
      destination: fc.integer({ min: 10, max: 30 }),
      family: fc.constantFrom("ip", "ip6", "arp"),
      length: fc.constantFrom(60, 1200, 1400, 1450, 1451, 9000),
      from: fc.nat(),
    });
    fc.assert(
      fc.property(anyLinks, anyFrame, (state, { from, destination, ...frame }) => {
        const ports = [...state.ports.keys()];
        const port = ports[from % ports.length];
        if (port === undefined) return;
        const numbers = indexesOf(state);
        const table = joined(fastNetworks(state, numbers));
        const mac = `02:42:0a:00:01:${destination.toString(16).padStart(2, "0")}`;
        const index = numbers.get(port) ?? 0;
        const exit = forwarded(table, { ...frame, from: port, destination: mac }, index);
        if (exit === undefined) return;
        const bridge = state.ports.get(port)?.bridge;
        const carried = state.entries.get(`${bridge} ${mac}`) ?? "";
        assert.equal(exit, numbers.get(carried));
        assert.notEqual(carried, port);
        assert.notEqual(frame.family, "arp");
        const mtu = state.tunnels.get(carried)?.mtu ?? Number.POSITIVE_INFINITY;
        assert.ok(frame.length <= mtu);
        if (!state.tunnels.has(port)) {
          assert.equal(state.entries.get(`${bridge} ${frame.source}`), port);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it("is taken by every frame that fits, between all that have an address", () => {
    const table = joined(fastNetworks(links, indexes));
    const frame = { family: "ip6", length: 1450 };
    const way = (from: string, source: string, destination: string) =>
      forwarded(table, { ...frame, from, source, destination }, indexes.get(from) ?? 0);
    assert.equal(way("wo409711", OWN, NEIGHBOUR), 22);
    assert.equal(way("wo409711", OWN, REMOTE), 20);
    assert.equal(way("wx001001", REMOTE, OWN), 21);
    assert.equal(way("wx001001", REMOTE, REMOTE), undefined, "not back into the tunnel");
    assert.equal(way("wo409711", OWN, OWN), undefined);
    assert.equal(way("wo409711", NEIGHBOUR, REMOTE), undefined, "under another's address");
  });

  it("is none for links that are not there, nor where nobody else is", () => {
    const alone = desiredLinks(makePlace(), [local(makeNetwork(4097), 11)]);
    assert.deepEqual(fastNetworks(alone, indexesOf(alone)), new Map());
    assert.deepEqual(fastNetworks(links, new Map()), new Map());
    const withoutTunnel = new Map([...indexes].filter(([name]) => name !== "wx001001"));
    const [at] = joined(fastNetworks(links, withoutTunnel)).sets.values();
    assert.deepEqual([...(at?.elements.keys() ?? [])].sort(), [OWN, NEIGHBOUR]);
  });

  it("whatever was taken away, changed or put there, a plan mends it, and a second one does nothing", () => {
    fc.assert(
      fc.property(anyLinks, anyLuck, (state, luck) => {
        const networks = fastNetworks(state, indexesOf(state));
        const found = meddledRuleset(rulesetOf(networks), () => luck.next().value);
        assertHolds(brought(found, found.get(FAST_TABLE), networks), networks);
      }),
      { numRuns: 300 },
    );
  });

  it("follows links that come, go and are made anew, whether their chains go with them or stay", () => {
    fc.assert(
      fc.property(anyLinks, anyLinks, fc.boolean(), anyLuck, (one, other, isAnew, luck) => {
        const before = fastNetworks(one, indexesOf(one));
        const after = fastNetworks(other, indexesOf(other, isAnew ? 60 : 10));
        const kernel = byItself(rulesetOf(before), joined(after), () => luck.next().value);
        assertHolds(brought(kernel, rulesetOf(before).get(FAST_TABLE), after), after);
      }),
      { numRuns: 300 },
    );
  });

  it("finds what the keeper has taken away for a link made anew, and does not call it damage", () => {
    const networks = fastNetworks(links, indexes);
    const [[name, at] = ["", undefined]] = joined(networks).sets;
    const elements = new Map([...(at?.elements ?? [])].filter(([mac]) => mac !== OWN));
    const found = {
      ...joined(networks),
      sets: new Map([[name, { type: "", kind: "map", elements } as const]]),
    };
    const anew = fastNetworks(links, new Map([...indexes, ["wo409711", 31]]));
    assert.deepEqual(fastDrifts(found, networks, anew), []);
    assertHolds(brought(new Map([[FAST_TABLE, found]]), joined(networks), anew), anew);
  });

  it("a chain is made before it is deleted, and emptied before it is filled", () => {
    const networks = fastNetworks(links, indexes);
    const gone = planFast(joined(networks), { sets: new Map(), chains: new Map() });
    const text = renderTransaction(gone);
    assert.ok(text.indexOf("add chain netdev weft_overlay from_21\n") >= 0);
    assert.ok(
      text.indexOf("add chain netdev weft_overlay from_21\n") <
        text.indexOf("delete chain netdev weft_overlay from_21\n"),
    );
    const made = renderTransaction(planFast(undefined, joined(networks)));
    assert.match(
      made,
      /hook ingress device "wo409711" priority 0; policy accept; }\nflush chain netdev weft_overlay from_21\n/,
    );
  });

  it("tells what somebody did to it, and not what follows its links", () => {
    const networks = fastNetworks(links, indexes);
    const table = joined(networks);
    const lost = { sets: table.sets, chains: new Map([...table.chains].slice(1)) };
    const texts = (drifts: readonly { text: string }[]) => drifts.map(({ text }) => text);
    assert.deepEqual(texts(fastDrifts(table, networks, networks)), []);
    assert.match(texts(fastDrifts(lost, networks, networks)).join(), /^chain .* missing/);
    assert.deepEqual(texts(fastDrifts(undefined, networks, networks)), [
      "table netdev weft_overlay was missing",
    ]);
    const anew = fastNetworks(links, new Map([...indexes, ["wx001001", 30]]));
    assert.deepEqual(texts(fastDrifts(table, networks, anew)), []);
    assert.deepEqual(texts(fastDrifts(undefined, new Map(), networks)), []);
  });
});
