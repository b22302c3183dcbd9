/**
 * nft in memory: runs transactions on a ruleset and refuses what the kernel refuses, so that plans can be
 * tried without one. All of a transaction is taken or none, because the input is never changed.
 */
import { unreachable } from "../../base/assert.ts";
import type { Chain, ElementSet, Ruleset, Table } from "./ruleset.ts";
import type { NftCommand, NftTransaction } from "./transaction.ts";

interface MutableTable {
  readonly chains: Map<string, Chain>;
  readonly sets: Map<string, ElementSet>;
}

export class FakeNftError extends Error {}

/** The ruleset after the transaction. */
export function runTransaction(ruleset: Ruleset, transaction: NftTransaction): Ruleset {
  const tables = new Map<string, MutableTable>();
  for (const [name, table] of ruleset) tables.set(name, copyOf(table));
  for (const command of transaction) runCommand(tables, command);
  for (const [name, table] of tables) checkReferences(name, table);
  return tables;
}

function copyOf(table: Table): MutableTable {
  return { chains: new Map(table.chains), sets: new Map(table.sets) };
}

function runCommand(tables: Map<string, MutableTable>, command: NftCommand): void {
  if (command.kind === "table.add") {
    if (!tables.has(command.table))
      tables.set(command.table, { chains: new Map(), sets: new Map() });
    return;
  }
  const table = found(tables.get(command.table), `table ${command.table}`);
  switch (command.kind) {
    case "table.delete":
      tables.delete(command.table);
      return;
    case "set.add":
      if (!table.sets.has(command.name))
        table.sets.set(command.name, { ...command.set, elements: new Map() });
      return;
    case "set.delete":
      found(table.sets.get(command.name), `set ${command.name}`);
      table.sets.delete(command.name);
      return;
    case "chain.add":
      addChain(table, command);
      return;
    case "chain.flush": {
      const chain = found(table.chains.get(command.name), `chain ${command.name}`);
      table.chains.set(command.name, { ...chain, rules: [] });
      return;
    }
    case "chain.delete":
      deleteChain(table, command.name);
      return;
    case "rule.add": {
      const chain = found(table.chains.get(command.chain), `chain ${command.chain}`);
      table.chains.set(command.chain, { ...chain, rules: [...chain.rules, command.rule] });
      return;
    }
    case "elements.add":
      addElements(table, command.set, command.elements);
      return;
    case "elements.delete":
      deleteElements(table, command.set, command.keys);
      return;
    default:
      unreachable(command);
  }
}

function addChain(table: MutableTable, command: NftCommand & { kind: "chain.add" }): void {
  if (table.chains.has(command.name)) return;
  const base = command.base === undefined ? {} : { base: command.base };
  table.chains.set(command.name, { ...base, rules: [] });
}

function deleteChain(table: MutableTable, name: string): void {
  const chain = found(table.chains.get(name), `chain ${name}`);
  if (chain.rules.length > 0) throw new FakeNftError(`chain ${name} still has rules`);
  table.chains.delete(name);
}

function addElements(
  table: MutableTable,
  name: string,
  added: readonly (readonly [string, string])[],
): void {
  const set = found(table.sets.get(name), `set ${name}`);
  const elements = new Map(set.elements);
  for (const [key, value] of added) {
    const old = elements.get(key);
    if (old !== undefined && old !== value) throw new FakeNftError(`element ${key} exists`);
    elements.set(key, value);
  }
  table.sets.set(name, { ...set, elements });
}

function deleteElements(table: MutableTable, name: string, keys: readonly string[]): void {
  const set = found(table.sets.get(name), `set ${name}`);
  const elements = new Map(set.elements);
  for (const key of keys) {
    if (!elements.delete(key)) throw new FakeNftError(`no element ${key} in ${name}`);
  }
  table.sets.set(name, { ...set, elements });
}

/** Jumps, gotos and set references must lead somewhere, as the kernel demands at commit. */
function checkReferences(name: string, table: MutableTable): void {
  const texts = [...table.chains.values()].flatMap((chain) => chain.rules.map((rule) => rule.text));
  const verdicts = [...table.sets.values()].flatMap((set) => [...set.elements.values()]);
  for (const text of [...texts, ...verdicts]) {
    for (const [, target = ""] of text.matchAll(/\b(?:jump|goto) (\w+)/g)) {
      if (!table.chains.has(target)) throw new FakeNftError(`${name}: no chain ${target}`);
    }
    for (const [, set = ""] of text.matchAll(/@(\w+)(?!\w*,)/g)) {
      if (!isPayloadBase(set) && !table.sets.has(set))
        throw new FakeNftError(`${name}: no set ${set}`);
    }
  }
}

/** `@th,96,24` reads raw bytes of the transport header; it is no set. */
function isPayloadBase(name: string): boolean {
  return name === "th" || name === "nh" || name === "ll";
}

function found<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new FakeNftError(`no such ${what}`);
  return value;
}
