/** What brings the kernel from some networks' fast ways to others, and what of the difference is damage. Pure. */

import { isDeepStrictEqual } from "node:util";
import { FAST_TABLE } from "../../base/overlay-links.ts";
import { type Drift, driftsOf } from "../describe.ts";
import { planTransaction } from "../nft/plan.ts";
import type { Table } from "../nft/ruleset.ts";
import type { NftCommand, NftTransaction } from "../nft/transaction.ts";
import type { FastNetworks } from "./fast-rules.ts";

/**
 * What turns one table into another; undefined is none. Older kernels take a chain away with its link, newer ones keep
 * it and hook it to the next link of that name, and the keeper deletes the element of an address whose link it makes
 * anew: any of it may happen at any moment. So what is to be deleted is made first in case it has gone, and what is made
 * is emptied in case it was there.
 */
export function planFast(actual: Table | undefined, desired: Table | undefined): NftTransaction {
  const commands = planTransaction(rulesetOf(actual), rulesetOf(desired));
  const chains = commands.flatMap((one): NftCommand[] =>
    one.kind === "chain.delete" ? [{ kind: "chain.add", table: one.table, name: one.name }] : [],
  );
  const elements = commands.flatMap((one): NftCommand[] => {
    if (one.kind !== "elements.delete") return [];
    const { table, set, keys } = one;
    const found = actual?.sets.get(set)?.elements;
    const known = keys.map((key) => [key, found?.get(key) ?? ""] as const);
    return [{ kind: "elements.add", table, set, elements: known }];
  });
  const made = commands.flatMap((one): NftCommand[] =>
    one.kind === "chain.add"
      ? [one, { kind: "chain.flush", table: one.table, name: one.name }]
      : [one],
  );
  return [...chains, ...elements, ...made];
}

function rulesetOf(table: Table | undefined) {
  return new Map(table === undefined ? [] : [[FAST_TABLE, table]]);
}

/** All of these networks in one table. */
export function joined(networks: FastNetworks): Table {
  const tables = [...networks.values()];
  return {
    sets: new Map(tables.flatMap(({ sets }) => [...sets])),
    chains: new Map(tables.flatMap(({ chains }) => [...chains])),
  };
}

/**
 * What somebody did to the table. A network that is another than at the last change is told of elsewhere: its links
 * have come, gone or been made anew, and its part of the table follows them.
 */
export function fastDrifts(
  actual: Table | undefined,
  believed: FastNetworks,
  desired: FastNetworks,
): Drift[] {
  const isSame = ([bridge, table]: readonly [string, Table]) =>
    isDeepStrictEqual(believed.get(bridge), table);
  const kept = new Map([...desired].filter(isSame));
  if (actual === undefined && kept.size === 0) return [];
  const isNews = ([bridge]: readonly [string, Table]) => !kept.has(bridge);
  const news = [believed, desired].map((networks) => joined(new Map([...networks].filter(isNews))));
  const found = rulesetOf(actual && without(actual, news));
  const transaction = planTransaction(found, rulesetOf(joined(kept)));
  return driftsOf({ additions: [], transaction, removals: [] });
}

function without({ sets, chains }: Table, others: readonly Table[]): Table {
  return {
    sets: new Map([...sets].filter(([name]) => !others.some((one) => one.sets.has(name)))),
    chains: new Map([...chains].filter(([name]) => !others.some((one) => one.chains.has(name)))),
  };
}
