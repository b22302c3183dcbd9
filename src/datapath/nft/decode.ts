/** Reads a table back from nft's JSON listing (libnftables-json(5)) into the shape that plans compare. */
import { SystemError } from "../../base/errors.ts";
import type { JsonObject } from "../json.ts";
import { isObject, numberOf, objectOf, objectsOf, stringOf } from "../json.ts";
import type { BaseChain, Chain, ElementSet, Rule, Table } from "./ruleset.ts";

/** A rule that carries no comment is not Weft's, and equals none of Weft's. */
const FOREIGN_RULE: Rule = { id: "", text: "" };

export function decodeTable(listing: unknown): Table {
  const chains = new Map<string, Chain>();
  const sets = new Map<string, ElementSet>();
  const objects = isObject(listing) ? listing["nftables"] : listing;
  for (const object of objectsOf(objects, "nft's listing")) {
    const chain = objectOf(object, "chain");
    const set = objectOf(object, "set");
    const map = objectOf(object, "map");
    const timeout = objectOf(object, "ct timeout");
    const rule = objectOf(object, "rule");
    if (chain !== undefined) chains.set(nameOf(chain), decodeChain(chain));
    else if (set !== undefined) sets.set(nameOf(set), decodeSet(set, "set"));
    else if (map !== undefined) sets.set(nameOf(map), decodeSet(map, "map"));
    else if (timeout !== undefined) sets.set(nameOf(timeout), decodeSet(timeout, "ct timeout"));
    else if (rule !== undefined) addRule(chains, rule);
  }
  return { chains, sets };
}

function nameOf(object: JsonObject): string {
  return stringOf(object, "name") ?? "";
}

function decodeChain(chain: JsonObject): Chain {
  const hook = stringOf(chain, "hook");
  if (hook === undefined) return { rules: [] };
  const device = stringOf(chain, "dev");
  const base = {
    type: stringOf(chain, "type") as BaseChain["type"],
    hook: hook as BaseChain["hook"],
    priority: numberOf(chain, "prio") ?? 0,
    ...(device === undefined ? {} : { device }),
  };
  return { base, rules: [] };
}

function addRule(chains: Map<string, Chain>, rule: JsonObject): void {
  const name = stringOf(rule, "chain") ?? "";
  const chain = chains.get(name) ?? { rules: [] };
  const id = stringOf(rule, "comment");
  const read = id === undefined ? FOREIGN_RULE : { id, text: "" };
  chains.set(name, { ...chain, rules: [...chain.rules, read] });
}

function decodeSet(set: JsonObject, kind: ElementSet["kind"]): ElementSet {
  // Packets put the elements of a set with a timeout there: none is missing and none too many.
  const flags = set["flags"];
  const isTimed = Array.isArray(flags) && flags.includes("timeout");
  const listed = isTimed ? [] : set["elem"];
  const elements = new Map<string, string>();
  for (const element of Array.isArray(listed) ? listed : []) {
    if (kind === "set") elements.set(spell(element), "");
    else if (Array.isArray(element)) elements.set(spell(element[0]), spell(element[1]));
  }
  return { type: "", kind, elements };
}

/** A key or value as Weft writes it: "tcp . 8080", "10.255.0.9", "2", "goto tcp_8080". */
function spell(value: unknown): string {
  if (typeof value === "string" || typeof value === "number") return `${value}`;
  if (isObject(value)) {
    const concat = value["concat"];
    if (Array.isArray(concat)) return concat.map(spell).join(" . ");
    const prefix = objectOf(value, "prefix");
    if (prefix !== undefined) return `${stringOf(prefix, "addr")}/${numberOf(prefix, "len")}`;
    const goto = objectOf(value, "goto");
    if (goto !== undefined) return `goto ${stringOf(goto, "target")}`;
    // An element with a counter or comment is wrapped.
    const element = objectOf(value, "elem");
    if (element !== undefined) return spell(element["val"]);
  }
  throw new SystemError(`cannot read nft's listing: ${JSON.stringify(value)}`);
}
