/** A change of the ruleset as data, and as the text that nft takes. The kernel takes all of a transaction or none. */

import { unreachable } from "../../base/assert.ts";
import type { BaseChain, ElementSet, Rule, SetKind } from "./ruleset.ts";

export type NftCommand =
  | { readonly kind: "table.add"; readonly table: string }
  | { readonly kind: "table.delete"; readonly table: string }
  | {
      readonly kind: "set.add";
      readonly table: string;
      readonly name: string;
      readonly set: Omit<ElementSet, "elements">;
    }
  | {
      readonly kind: "set.delete";
      readonly table: string;
      readonly name: string;
      readonly set: SetKind;
    }
  | {
      readonly kind: "chain.add";
      readonly table: string;
      readonly name: string;
      readonly base?: BaseChain;
    }
  | { readonly kind: "chain.flush"; readonly table: string; readonly name: string }
  | { readonly kind: "chain.delete"; readonly table: string; readonly name: string }
  | {
      readonly kind: "rule.add";
      readonly table: string;
      readonly chain: string;
      readonly rule: Rule;
    }
  | {
      readonly kind: "elements.add";
      readonly table: string;
      readonly set: string;
      readonly elements: readonly (readonly [key: string, value: string])[];
    }
  | {
      readonly kind: "elements.delete";
      readonly table: string;
      readonly set: string;
      readonly keys: readonly string[];
    };

export type NftTransaction = readonly NftCommand[];

export function renderTransaction(transaction: NftTransaction): string {
  return transaction.map((command) => `${renderCommand(command)}\n`).join("");
}

function renderCommand(command: NftCommand): string {
  switch (command.kind) {
    case "table.add":
      return `add table ${command.table}`;
    case "table.delete":
      return `delete table ${command.table}`;
    case "set.add":
      return `add ${command.set.kind} ${command.table} ${command.name} { ${command.set.type}; }`;
    case "set.delete":
      return `delete ${command.set} ${command.table} ${command.name}`;
    case "chain.add":
      return `add chain ${command.table} ${command.name}${renderBase(command.base)}`;
    case "chain.flush":
      return `flush chain ${command.table} ${command.name}`;
    case "chain.delete":
      return `delete chain ${command.table} ${command.name}`;
    case "rule.add":
      return `add rule ${command.table} ${command.chain} ${command.rule.text} comment "${command.rule.id}"`;
    case "elements.add":
      return `add element ${command.table} ${command.set} { ${command.elements.map(renderElement).join(", ")} }`;
    case "elements.delete":
      return `delete element ${command.table} ${command.set} { ${command.keys.join(", ")} }`;
    default:
      return unreachable(command);
  }
}

function renderBase(base: BaseChain | undefined): string {
  if (base === undefined) return "";
  const device = base.device === undefined ? "" : ` device "${base.device}"`;
  return ` { type ${base.type} hook ${base.hook}${device} priority ${base.priority}; policy accept; }`;
}

function renderElement([key, value]: readonly [string, string]): string {
  return value === "" ? key : `${key} : ${value}`;
}
