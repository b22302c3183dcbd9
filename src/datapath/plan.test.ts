import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import type { KernelState } from "./desired.ts";
import { desired, EMPTY_STATE } from "./desired.ts";
import { runPlan } from "./fake-kernel.ts";
import { isEmpty, plan, sizeOf } from "./plan.ts";
import { anyView, makeEndpoint, makeFacts, makeNode, makeService, makeView } from "./testing.ts";
import type { MeshView } from "./view.ts";

const stateOf = (view: MeshView) => desired(view, makeFacts(view));

/** Settings and the tasks' links are never taken back, so only the desired ones are compared. */
function without(state: Omit<KernelState, "endpoints">, wanted: KernelState) {
  const sysctls = new Map(
    [...wanted.network.sysctls.keys()].map((path) => [path, state.network.sysctls.get(path)]),
  );
  const taskLinks = new Map(
    [...wanted.network.taskLinks.keys()].map((name) => [name, state.network.taskLinks.get(name)]),
  );
  return { ruleset: state.ruleset, network: { ...state.network, sysctls, taskLinks } };
}

/** The state without what somebody took away: whole tables, chains, rules, elements, links and all that hangs on them. */
function damagedState(state: KernelState, isLost: () => boolean): KernelState {
  const thinned = <T>(map: ReadonlyMap<string, T>) => new Map([...map].filter(() => !isLost()));
  const ruleset = new Map(
    [...thinned(state.ruleset)].map(([name, { sets, chains }]) => [
      name,
      {
        sets: new Map(
          [...sets].map(([set, rest]) => [set, { ...rest, elements: thinned(rest.elements) }]),
        ),
        chains: new Map(
          [...chains].map(([chain, rest]) => [
            chain,
            { ...rest, rules: rest.rules.filter(() => !isLost()) },
          ]),
        ),
      },
    ]),
  );
  const network = state.network;
  const links = thinned(network.links);
  const hanging = <T>(map: ReadonlyMap<string, T>) =>
    links.size === network.links.size ? thinned(map) : new Map<string, T>();
  return {
    ...state,
    ruleset,
    network: {
      ...network,
      links: new Map([...links].map(([name, link]) => [name, { ...link, up: !isLost() }])),
      taskLinks: new Map(
        [...network.taskLinks].map(([name]) => [
          name,
          { up: !isLost(), gateway: !isLost(), gateway6: !isLost() },
        ]),
      ),
      addresses: hanging(network.addresses),
      routes: hanging(network.routes),
      rules: thinned(network.rules),
      neighbours: hanging(network.neighbours),
      fdb: hanging(network.fdb),
      sysctls: thinned(network.sysctls),
    },
  };
}

/** The state with what somebody changed, or put there: other values, entries too many, rules in another order. */
function alteredState(state: KernelState, isChanged: () => boolean): KernelState {
  const altered = <T>(map: ReadonlyMap<string, T>, change: (value: T) => T) =>
    new Map([...map].map(([key, value]) => [key, isChanged() ? change(value) : value]));
  const ruleset = new Map(
    [...state.ruleset].map(([name, { sets, chains }]) => [
      name,
      {
        sets: new Map(
          [...sets].map(([set, rest]) => [set, { ...rest, elements: swapped(rest.elements) }]),
        ),
        chains: altered(chains, (chain) => ({ ...chain, rules: [...chain.rules, STRANGE_RULE] })),
      },
    ]),
  );
  const { links, routes, rules, neighbours, fdb, sysctls } = state.network;
  const network = {
    ...state.network,
    links: altered(links, (link) => ({ ...link, mtu: link.mtu - 100, mac: "02:42:00:00:00:01" })),
    routes: altered(routes, (route) => ({ ...route, via: "10.255.9.9" })),
    rules: altered(rules, (one) => ({ ...one, mark: one.mark + 1 })),
    neighbours: altered(neighbours, () => "02:42:00:00:00:02"),
    fdb: altered(fdb, () => "192.0.2.1"),
    sysctls: altered(sysctls, (value) => `${value}9`),
  };
  return { ...state, ruleset, network };

  /** Each with its neighbour's value; where packets add the elements, as they are. */
  function swapped(elements: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
    const values = [...elements.values()];
    if (values.length < 2 || !isChanged()) return elements;
    return new Map([...elements.keys()].map((key, at) => [key, values.at(at - 1) ?? ""]));
  }
}

const STRANGE_RULE = { id: "nobody:knows", text: "drop" };

describe("a plan", () => {
  it("turns any state into any other", () => {
    fc.assert(
      fc.property(anyView, anyView, (from, to) => {
        const wanted = stateOf(to);
        const reached = runPlan(stateOf(from), plan(stateOf(from), wanted));
        const { ruleset, network } = wanted;
        assert.deepEqual(without(reached, wanted), { ruleset, network });
      }),
    );
  });

  it("mends any damage, and then there is nothing more to do", () => {
    const damage = fc.infiniteStream(fc.constantFrom(true, false, false));
    fc.assert(
      fc.property(anyView, damage, (view, isLost) => {
        const wanted = stateOf(view);
        const damaged = damagedState(wanted, () => isLost.next().value);
        const mended = { ...wanted, ...runPlan(damaged, plan(damaged, wanted)) };
        assert.deepEqual(without(mended, wanted), without(wanted, wanted));
        assert(isEmpty(plan(mended, wanted)));
      }),
    );
  });

  it("puts right what was changed, on top of what was taken away, and then there is nothing more to do", () => {
    const damage = fc.infiniteStream(fc.constantFrom(true, false, false));
    fc.assert(
      fc.property(anyView, damage, damage, (view, isLost, isChanged) => {
        const wanted = stateOf(view);
        const thinned = damagedState(wanted, () => isLost.next().value);
        const damaged = alteredState(thinned, () => isChanged.next().value);
        const mended = { ...wanted, ...runPlan(damaged, plan(damaged, wanted)) };
        assert.deepEqual(without(mended, wanted), without(wanted, wanted));
        assert(isEmpty(plan(mended, wanted)));
      }),
    );
  });

  it("is empty when nothing differs", () => {
    fc.assert(fc.property(anyView, (view) => assert(isEmpty(plan(stateOf(view), stateOf(view))))));
  });

  it("builds everything on an empty host, and takes everything away again", () => {
    fc.assert(
      fc.property(anyView, (view) => {
        const state = stateOf(view);
        const built = runPlan(EMPTY_STATE, plan(EMPTY_STATE, state));
        const { ruleset, network } = runPlan({ ...state, ...built }, plan(state, EMPTY_STATE));
        assert.equal(ruleset.size, 0);
        assert.deepEqual(
          { ...network, sysctls: new Map(), taskLinks: new Map() },
          { ...EMPTY_STATE.network },
        );
      }),
    );
  });

  it("has the ways ready before the rules, and takes ways away after them", () => {
    const one = makeEndpoint();
    const other = makeEndpoint({ taskID: "t2", address: "10.255.0.10", nodeIndex: 3 });
    const from = makeView({ services: [makeService(8080, { endpoints: [one] })] });
    const to = makeView({ services: [makeService(8080, { endpoints: [other] })] });
    const { additions, removals, forget } = plan(stateOf(from), stateOf(to));
    assert.deepEqual(
      additions.map((command) => command.kind),
      ["route.replace"],
    );
    assert.deepEqual(
      removals.map((command) => command.kind),
      ["route.delete"],
    );
    assert.deepEqual(forget, [
      { kind: "udp-to", address: one.address },
      { kind: "half-open-to", address: one.address },
    ]);
  });

  it("costs what changed, not what there is", () => {
    const services = Array.from({ length: 500 }, (_, index) =>
      makeService(1000 + index, {
        endpoints: [makeEndpoint({ address: `10.255.${1 + (index >> 8)}.${index & 255}` })],
      }),
    );
    const changed = services.with(77, makeService(1077, { endpoints: [makeEndpoint()] }));
    const small = plan(stateOf(makeView({ services })), stateOf(makeView({ services: changed })));
    // An endpoint out and in, a hairpin out and in, a route in and out, two things to forget.
    assert.equal(sizeOf(small), 8);
  });

  it("makes the egress hook anew with its link", () => {
    const from = makeView({ vni: 4096 });
    const to = makeView({ vni: 4097 });
    const { transaction } = plan(stateOf(from), stateOf(to));
    assert.deepEqual(transaction[0], { kind: "table.delete", table: "netdev weft" });
  });

  const DRAINS = [
    ["draining", "live", []],
    ["live", "draining", [{ kind: "udp-to", address: "10.255.0.9" }]],
    ["draining", "draining", []],
  ] as const;
  for (const [before, now, expected] of DRAINS) {
    it(`forgets ${expected.length} things when a ${before} endpoint is ${now}`, () => {
      const view = (state: "live" | "draining") =>
        makeView({ services: [makeService(8080, { endpoints: [makeEndpoint({ state })] })] });
      assert.deepEqual(plan(stateOf(view(before)), stateOf(view(now))).forget, expected);
    });
  }

  it("forgets flows of a UDP port that nobody led anywhere, when it gets its first endpoint", () => {
    const service = (endpoints: ReturnType<typeof makeEndpoint>[]) =>
      makeService(53, {
        ports: [{ protocol: "udp", publishedPort: 53, targetPort: 53 }],
        endpoints,
      });
    const none = stateOf(makeView({ services: [service([])] }));
    const one = stateOf(makeView({ services: [service([makeEndpoint()])] }));
    assert.deepEqual(plan(none, one).forget, [{ kind: "unled-udp", port: 53, family: 4 }]);
  });

  it("forgets all that went to a node that is gone", () => {
    const endpoints = [makeEndpoint(), makeEndpoint({ address: "10.255.0.10", nodeIndex: 3 })];
    const services = [makeService(8080, { endpoints })];
    const before = stateOf(makeView({ services }));
    const after = stateOf(makeView({ services, peers: [makeNode(3)] }));
    const addresses = new Set(
      plan(before, after).forget.map((one) => "address" in one && one.address),
    );
    assert.deepEqual(addresses, new Set(["10.255.0.9"]));
  });
});

describe("the tunnel's MTU", () => {
  const mtuOf = (view: MeshView) => stateOf(view).network.links.get("weft0")?.mtu;
  it("is what the uplink leaves of it, or less where the ingress network says so", () => {
    const most = mtuOf(makeView()) ?? 0;
    assert.ok(most > 1_400);
    assert.equal(mtuOf({ ...makeView(), mtu: 1_300 }), 1_300);
    assert.equal(mtuOf({ ...makeView(), mtu: 9_000 }), most);
  });
});
