/**
 * A ruleset as data: what is wanted, what was read back, and what the in-memory nft holds are the same
 * shape, so that they can be compared. A rule is known by its id, a digest of its text that travels as
 * the rule's comment: nft may print a rule differently than it was written, but never its comment.
 */
import { hash } from "node:crypto";

export interface BaseChain {
  readonly type: "filter" | "nat";
  readonly hook:
    | "prerouting"
    | "input"
    | "forward"
    | "output"
    | "postrouting"
    | "ingress"
    | "egress";
  readonly priority: number;
  /** The device of a netdev chain. */
  readonly device?: string;
}

export interface Rule {
  readonly id: string;
  /** Empty when the rule was read back: the id says which it is. */
  readonly text: string;
}

export interface Chain {
  readonly base?: BaseChain;
  readonly rules: readonly Rule[];
}

/** A `ct timeout` has a type and no elements; apart from that it is made, named and deleted as a set is. */
export type SetKind = "set" | "map" | "ct timeout";

export interface ElementSet {
  /** As in nft: `type ipv4_addr` or `typeof ct zone : meta mark`. Empty when read back. To change it, choose a new name. */
  readonly type: string;
  readonly kind: SetKind;
  /** Key to value, none where packets add the elements; the value of a set's element is empty. Spelled as `decode` spells them. */
  readonly elements: ReadonlyMap<string, string>;
}

export interface Table {
  readonly chains: ReadonlyMap<string, Chain>;
  readonly sets: ReadonlyMap<string, ElementSet>;
}

/** Keyed by family and name, as "inet weft". */
export type Ruleset = ReadonlyMap<string, Table>;

const RULE_ID_LENGTH = 12;
const RULE_ID_PREFIX = "weft:";

/** Each view is made of nearly the same rules: those of the last ones are kept. At the bound all are made anew. */
const RULES_KEPT_MAX = 4_096;
const kept = new Map<string, Rule>();

export function rule(text: string): Rule {
  const known = kept.get(text);
  if (known !== undefined) return known;
  const id = `${RULE_ID_PREFIX}${hash("sha256", text).slice(0, RULE_ID_LENGTH)}`;
  if (kept.size >= RULES_KEPT_MAX) kept.clear();
  const made = { id, text };
  kept.set(text, made);
  return made;
}

export function chain(rules: readonly string[], base?: BaseChain): Chain {
  const made = { rules: rules.map(rule) };
  return base === undefined ? made : { ...made, base };
}

/** A chain that the kernel calls itself, at that hook. */
export function baseChain(
  type: BaseChain["type"],
  hook: BaseChain["hook"],
  priority: number,
  rules: readonly string[],
): Chain {
  return chain(rules, { type, hook, priority });
}

/** A set of these elements. */
export function setOf(type: string, keys: readonly string[]): ElementSet {
  return { type, kind: "set", elements: new Map(keys.map((key) => [key, ""])) };
}

/** A map with these elements. */
export function mapOf(type: string, entries: readonly [string, string][]): ElementSet {
  return { type, kind: "map", elements: new Map(entries) };
}

/** The device counts only where both know it: nft's JSON listing (1.0.6) leaves it out. */
export function sameBase(a: BaseChain | undefined, b: BaseChain | undefined): boolean {
  if (a?.device !== undefined && b?.device !== undefined && a.device !== b.device) return false;
  return a?.type === b?.type && a?.hook === b?.hook && a?.priority === b?.priority;
}

export function sameRules(a: readonly Rule[], b: readonly Rule[]): boolean {
  return a.length === b.length && a.every((one, index) => one.id === b[index]?.id);
}
