import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { desired, type KernelState } from "./desired.ts";
import { hostTrace, type TraceQuestion, WAYS_MAX } from "./host-trace.ts";
import { TABLE } from "./names.ts";
import type { Chain, Table } from "./nft/ruleset.ts";
import { makeEndpoint, makeFacts, makeService, makeView } from "./testing.ts";
import type { MeshView } from "./view.ts";

const HERE = makeEndpoint({ taskID: "t1", address: "10.255.0.8", nodeIndex: 1 });
const THERE = makeEndpoint({ taskID: "t2", address: "10.255.0.9", nodeIndex: 2 });
const VIEW = makeView({
  services: [
    makeService(8080, { endpoints: [HERE, THERE] }),
    makeService(8081, { endpoints: [{ ...THERE, state: "draining" }] }),
  ],
  localLinks: [{ address: HERE.address, link: "wv8" }],
});
const FROM_OUTSIDE: TraceQuestion = {
  from: { kind: "uplink" },
  source: "192.168.99.200",
  destination: VIEW.self.underlayAddress,
  protocol: "tcp",
  port: 8080,
};

/** As nft tells them: which rule it is, not what it says. */
function asReadBack(state: KernelState): KernelState {
  const chain = (one: Chain): Chain => ({
    ...one,
    rules: one.rules.map(({ id }) => ({ id, text: "" })),
  });
  const table = ({ chains, sets }: Table): Table => ({
    sets,
    chains: new Map([...chains].map(([name, one]) => [name, chain(one)])),
  });
  return {
    ...state,
    ruleset: new Map([...state.ruleset].map(([name, one]) => [name, table(one)])),
  };
}

function ask(
  question: Partial<TraceQuestion> = {},
  damage: (state: KernelState) => KernelState = (state) => state,
  view: MeshView = VIEW,
) {
  const host = makeFacts(view);
  const wanted = desired(view, host);
  const { interfaces } = host;
  const actual = damage(asReadBack(wanted));
  const facts = { view, actual, wanted, addresses: ["172.17.0.1"], interfaces };
  return hostTrace(facts, { ...FROM_OUTSIDE, ...question });
}

/** The kernel with one of Weft's sets as it was not meant. */
function withSet(name: string, elements: readonly (readonly [string, string])[]) {
  return (state: KernelState): KernelState => {
    const table = state.ruleset.get(TABLE) ?? assert.fail();
    const set = table.sets.get(name) ?? assert.fail();
    const sets = new Map([...table.sets, [name, { ...set, elements: new Map(elements) }]]);
    return { ...state, ruleset: new Map([...state.ruleset, [TABLE, { ...table, sets }]]) };
  };
}

describe("a packet on one host", () => {
  it("is led each way that the kernel may choose, by rules that are known by their ids", () => {
    const trace = ask();
    assert.deepEqual([trace.endpoints, trace.wanted, trace.unknown], [2, undefined, []]);
    const [here, there] = trace.ways;
    assert.equal(here?.outcome.kind, "task");
    assert.deepEqual(there?.outcome, {
      kind: "tunnel",
      at: "n1",
      to: "n2",
      packet: {
        from: { host: "n2", link: "weft0", etherSource: "02:42:0a:ff:00:02" },
        ...{ source: "192.168.99.200", destination: "10.255.0.9", protocol: "tcp", port: 80 },
      },
    });
    const service = { id: "s8080", name: "s8080", live: 2, draining: 0 };
    assert.deepEqual(trace.port, { held: true, answered: true, service });
  });

  it("is answered at every address that the host has", () => {
    const [way] = ask({ destination: "172.17.0.1" }).ways;
    assert.equal(way?.outcome.kind, "task");
  });

  it("from the tunnel goes to the task, and back through the node that it came by", () => {
    const from = { kind: "tunnel", etherSource: "02:42:0a:ff:00:03" } as const;
    const { ways } = ask({ from, destination: HERE.address, port: 80 });
    const [way] = ways;
    assert.deepEqual(way?.outcome, {
      ...{ kind: "task", at: "n1", to: "10.255.0.8:80", seenAs: "192.168.99.200" },
      replyThrough: "n2",
    });
    assert.ok(way.steps.some((step) => step.includes("conntrack zone 2")));
  });

  it("of a service that has draining endpoints alone is refused", () => {
    const trace = ask({ port: 8081 });
    assert.deepEqual(
      trace.ways.map(({ outcome }) => outcome.kind),
      ["refused"],
    );
    assert.deepEqual(
      [trace.port.answered, trace.port.service?.live, trace.port.service?.draining],
      [false, 0, 1],
    );
  });

  it("is told as the kernel has it, and beside it as it should be", () => {
    const trace = ask({}, withSet("tcp_endpoints", [["8080 . 0", "10.255.0.9 . 81"]]));
    assert.match(trace.ways[0]?.steps[0] ?? "", /led to 10\.255\.0\.9:81/);
    assert.match(trace.wanted?.[0]?.steps[0] ?? "", /led to 10\.255\.0\.8:80/);
    const unled = ask({}, withSet("services", []));
    assert.deepEqual([unled.ways[0]?.outcome.kind, unled.port.answered], ["refused", false]);
    const bare = ask({}, (state) => ({ ...state, ruleset: new Map() }));
    assert.deepEqual([bare.ways[0]?.outcome.kind, bare.port.held], ["process", false]);
  });

  it("names chains with rules that nobody knows", () => {
    const strange = (state: KernelState): KernelState => {
      const table = state.ruleset.get(TABLE) ?? assert.fail();
      const chain = table.chains.get("guard_forward") ?? assert.fail();
      const rules = [...chain.rules, { id: "", text: "" }];
      const chains = new Map([...table.chains, ["guard_forward", { ...chain, rules }] as const]);
      return { ...state, ruleset: new Map([...state.ruleset, [TABLE, { ...table, chains }]]) };
    };
    assert.deepEqual(ask({}, strange).unknown, ["inet weft guard_forward"]);
  });

  it("has the chance of all endpoints though not each of many ways is told", () => {
    const endpoints = Array.from({ length: WAYS_MAX + 8 }, (_, n) =>
      makeEndpoint({ taskID: `t${n}`, address: `10.255.1.${n}` }),
    );
    const view = makeView({ services: [makeService(8080, { endpoints })] });
    const trace = ask({}, (state) => state, view);
    assert.deepEqual([trace.endpoints, trace.ways.length], [WAYS_MAX + 8, WAYS_MAX]);
  });
});
