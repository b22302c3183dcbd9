import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { decodeTable } from "./decode.ts";

const of = (...objects: unknown[]) => decodeTable({ nftables: [{ metainfo: {} }, ...objects] });
const name = { family: "inet", table: "weft" };

describe("a listing of nft's", () => {
  it("gives base chains with their hooks, and rules by their comments", () => {
    const { chains } = of(
      { chain: { ...name, name: "in", type: "filter", hook: "input", prio: -5, policy: "accept" } },
      { chain: { ...name, name: "sub" } },
      { rule: { ...name, chain: "in", comment: "weft:abc", expr: [] } },
      { rule: { ...name, chain: "in", expr: [] } },
    );
    assert.deepEqual(chains.get("in"), {
      base: { type: "filter", hook: "input", priority: -5 },
      rules: [
        { id: "weft:abc", text: "" },
        { id: "", text: "" },
      ],
    });
    assert.deepEqual(chains.get("sub"), { rules: [] });
  });

  const ELEMENTS: readonly (readonly [unknown, string, string])[] = [
    [[{ concat: ["tcp", 8080] }, { goto: { target: "tcp_8080" } }], "tcp . 8080", "goto tcp_8080"],
    [["02:42:0a:ff:00:03", 2], "02:42:0a:ff:00:03", "2"],
    [[2, 1073872896], "2", "1073872896"],
    [[{ elem: { val: 7, comment: "x" } }, "a"], "7", "a"],
  ];
  for (const [element, key, value] of ELEMENTS) {
    it(`gives the element ${key} : ${value}`, () => {
      const { sets } = of({ map: { ...name, name: "m", elem: [element] } });
      assert.deepEqual([...(sets.get("m")?.elements ?? [])], [[key, value]]);
    });
  }

  it("gives a set without elements", () => {
    const { sets } = of({ set: { ...name, name: "s", type: "ipv4_addr" } });
    assert.deepEqual(sets.get("s"), { type: "", kind: "set", elements: new Map() });
  });

  it("leaves out what packets have put into a set", () => {
    const { sets } = of({
      set: { ...name, name: "s", flags: ["timeout"], timeout: 10, elem: [7] },
    });
    assert.deepEqual(sets.get("s"), { type: "", kind: "set", elements: new Map() });
  });

  it("gives a timeout policy", () => {
    const { sets } = of({ "ct timeout": { ...name, name: "t", protocol: "tcp" } });
    assert.deepEqual(sets.get("t"), { type: "", kind: "ct timeout", elements: new Map() });
  });

  it("is refused when it holds what Weft never writes", () => {
    assert.throws(
      () => of({ set: { ...name, name: "s", elem: [{ range: [1, 2] }] } }),
      /cannot read/,
    );
    assert.throws(() => decodeTable("no list"), /expected a list/);
  });
});
