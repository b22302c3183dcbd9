import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeNftError, runTransaction } from "./fake.ts";
import { planTransaction } from "./plan.ts";
import type { Ruleset } from "./ruleset.ts";
import { chain, rule } from "./ruleset.ts";
import type { NftCommand } from "./transaction.ts";

const TABLE = "inet weft";
const PORTS = { type: "type inet_service : verdict", kind: "map" } as const;

const RULESET: Ruleset = new Map([
  [
    TABLE,
    {
      sets: new Map([["ports", { ...PORTS, elements: new Map([["80", "goto web"]]) }]]),
      chains: new Map([
        ["web", chain(["accept"])],
        ["hook", chain(["tcp dport vmap @ports"], { type: "filter", hook: "input", priority: 0 })],
      ]),
    },
  ],
]);

const REFUSED: readonly (readonly [name: string, commands: readonly NftCommand[]])[] = [
  [
    "a chain that is still gone to",
    [
      { kind: "chain.flush", table: TABLE, name: "web" },
      { kind: "chain.delete", table: TABLE, name: "web" },
    ],
  ],
  ["a chain that still has rules", [{ kind: "chain.delete", table: TABLE, name: "web" }]],
  ["a set that a rule reads", [{ kind: "set.delete", table: TABLE, name: "ports", set: "map" }]],
  [
    "an element with another value",
    [{ kind: "elements.add", table: TABLE, set: "ports", elements: [["80", "drop"]] }],
  ],
  [
    "an element that is not there",
    [{ kind: "elements.delete", table: TABLE, set: "ports", keys: ["81"] }],
  ],
  [
    "a jump to nowhere",
    [{ kind: "rule.add", table: TABLE, chain: "web", rule: rule("jump nowhere") }],
  ],
  ["a table that is not there", [{ kind: "chain.add", table: "inet other", name: "x" }]],
];

describe("nft in memory", () => {
  for (const [name, commands] of REFUSED) {
    it(`refuses ${name}, and takes nothing`, () => {
      assert.throws(() => runTransaction(RULESET, commands), FakeNftError);
      assert.deepEqual(planTransaction(RULESET, RULESET), []);
    });
  }

  it("takes what a plan says", () => {
    assert.deepEqual(runTransaction(new Map(), planTransaction(new Map(), RULESET)), RULESET);
  });

  it("makes a chain anew that is hooked elsewhere", () => {
    const table = RULESET.get(TABLE);
    assert(table !== undefined);
    const moved = chain(["tcp dport vmap @ports"], { type: "filter", hook: "input", priority: -5 });
    const wanted = new Map([
      [TABLE, { ...table, chains: new Map([...table.chains, ["hook", moved]]) }],
    ]);
    const commands = planTransaction(RULESET, wanted);
    assert.deepEqual(
      commands.map((one) => one.kind),
      ["chain.flush", "chain.delete", "chain.add", "rule.add"],
    );
    assert.deepEqual(runTransaction(RULESET, commands), wanted);
  });
});
