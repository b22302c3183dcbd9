/** What turns one ruleset into another, as one transaction. Costs what differs, not what there is. */
import type { Chain, ElementSet, Ruleset, Table } from "./ruleset.ts";
import { sameBase, sameRules } from "./ruleset.ts";
import type { NftCommand, NftTransaction } from "./transaction.ts";

const EMPTY_TABLE: Table = { chains: new Map(), sets: new Map() };
const EMPTY_CHAIN: Chain = { rules: [] };

/** What turns `actual` into `desired`; empty when they agree, so a second pass is free. */
export function planTransaction(actual: Ruleset, desired: Ruleset): NftTransaction {
  const commands: NftCommand[] = [];
  for (const table of actual.keys()) {
    if (!desired.has(table)) commands.push({ kind: "table.delete", table });
  }
  for (const [table, wanted] of desired) {
    const found = actual.get(table);
    if (found === undefined) commands.push({ kind: "table.add", table });
    commands.push(...planTable(table, found ?? EMPTY_TABLE, wanted));
  }
  return commands;
}

/**
 * The order is the dependencies': what is referred to exists before it is referred to, and is deleted
 * after nothing refers to it any more.
 */
function planTable(table: string, actual: Table, desired: Table): NftCommand[] {
  return [
    ...addSets(table, actual, desired),
    ...addChains(table, actual, desired),
    ...deleteElements(table, actual, desired),
    ...changeRules(table, actual, desired),
    ...addElements(table, actual, desired),
    ...deleteChains(table, actual, desired),
    ...deleteSets(table, actual, desired),
  ];
}

function addSets(table: string, actual: Table, desired: Table): NftCommand[] {
  const commands: NftCommand[] = [];
  for (const [name, { kind, type }] of desired.sets) {
    if (!actual.sets.has(name))
      commands.push({ kind: "set.add", table, name, set: { kind, type } });
  }
  return commands;
}

function deleteSets(table: string, actual: Table, desired: Table): NftCommand[] {
  const commands: NftCommand[] = [];
  for (const [name, { kind }] of actual.sets) {
    if (!desired.sets.has(name)) commands.push({ kind: "set.delete", table, name, set: kind });
  }
  return commands;
}

/** A base chain's hook and priority cannot be changed: such a chain is made anew, in the same transaction. */
function addChains(table: string, actual: Table, desired: Table): NftCommand[] {
  const commands: NftCommand[] = [];
  for (const [name, { base }] of desired.chains) {
    const found = actual.chains.get(name);
    if (found !== undefined && sameBase(found.base, base)) continue;
    if (found !== undefined) {
      commands.push({ kind: "chain.flush", table, name }, { kind: "chain.delete", table, name });
    }
    commands.push({ kind: "chain.add", table, name, ...(base === undefined ? {} : { base }) });
  }
  return commands;
}

function changeRules(table: string, actual: Table, desired: Table): NftCommand[] {
  const flushes: NftCommand[] = [];
  const rules: NftCommand[] = [];
  for (const [name, wanted] of desired.chains) {
    const found = actual.chains.get(name);
    const kept = found !== undefined && sameBase(found.base, wanted.base) ? found : EMPTY_CHAIN;
    if (sameRules(kept.rules, wanted.rules)) continue;
    if (kept.rules.length > 0) flushes.push({ kind: "chain.flush", table, name });
    for (const rule of wanted.rules) rules.push({ kind: "rule.add", table, chain: name, rule });
  }
  for (const name of actual.chains.keys()) {
    if (!desired.chains.has(name)) flushes.push({ kind: "chain.flush", table, name });
  }
  return [...flushes, ...rules];
}

function deleteChains(table: string, actual: Table, desired: Table): NftCommand[] {
  const commands: NftCommand[] = [];
  for (const name of actual.chains.keys()) {
    if (!desired.chains.has(name)) commands.push({ kind: "chain.delete", table, name });
  }
  return commands;
}

function deleteElements(table: string, actual: Table, desired: Table): NftCommand[] {
  const commands: NftCommand[] = [];
  for (const [name, found] of actual.sets) {
    const wanted = desired.sets.get(name);
    const keys = keysThatDiffer(found, wanted);
    if (keys.length > 0) commands.push({ kind: "elements.delete", table, set: name, keys });
  }
  return commands;
}

function addElements(table: string, actual: Table, desired: Table): NftCommand[] {
  const commands: NftCommand[] = [];
  for (const [name, wanted] of desired.sets) {
    const keys = keysThatDiffer(wanted, actual.sets.get(name));
    if (keys.length === 0) continue;
    const elements = keys.map((key) => [key, wanted.elements.get(key) ?? ""] as const);
    commands.push({ kind: "elements.add", table, set: name, elements });
  }
  return commands;
}

/** Keys of `one` that `other` lacks, or has with another value. */
function keysThatDiffer(one: ElementSet, other: ElementSet | undefined): string[] {
  const keys: string[] = [];
  for (const [key, value] of one.elements) {
    if (other?.elements.get(key) !== value) keys.push(key);
  }
  return keys;
}
