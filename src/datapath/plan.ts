/**
 * What turns one kernel state into another, in the order in which no packet is lost: ways exist before
 * rules send packets along them, and are taken away after no rule does.
 */
import type { Forget } from "./conntrack/forget.ts";
import { planForget } from "./conntrack/forget.ts";
import type { KernelState } from "./desired.ts";
import type { NetworkCommand } from "./ip/command.ts";
import { planNetwork } from "./ip/plan.ts";
import { planLateAnswers } from "./late-answers.ts";
import { EGRESS_TABLE, LINK } from "./names.ts";
import { planTransaction } from "./nft/plan.ts";
import type { Ruleset } from "./nft/ruleset.ts";
import type { NftCommand, NftTransaction } from "./nft/transaction.ts";

/** In the order of execution. */
export interface Plan {
  readonly additions: readonly NetworkCommand[];
  readonly transaction: NftTransaction;
  /** Addresses of tasks that may still answer datagrams of flows that are forgotten. */
  readonly late: readonly string[];
  readonly forget: readonly Forget[];
  readonly removals: readonly NetworkCommand[];
}

/** What turns `actual` into `desired`; empty when they agree. */
export function plan(actual: KernelState, desired: KernelState): Plan {
  const { additions, removals } = planNetwork(actual.network, desired.network);
  return {
    additions,
    transaction: planRules(actual.ruleset, desired.ruleset, additions),
    late: planLateAnswers(actual, desired),
    forget: planForget(actual, desired),
    removals,
  };
}

export function isEmpty(plan: Plan): boolean {
  return sizeOf(plan) === 0;
}

/** How many commands it takes. */
export function sizeOf({ additions, transaction, forget, removals }: Plan): number {
  return additions.length + transaction.length + forget.length + removals.length;
}

/** A hook on a device goes when the device goes, and whether its chain stays depends on the kernel: make it anew. */
function planRules(
  actual: Ruleset,
  desired: Ruleset,
  additions: readonly NetworkCommand[],
): NftTransaction {
  const isLinkNew = additions.some((one) => one.kind === "link.add" && one.name === LINK);
  if (!isLinkNew || !actual.has(EGRESS_TABLE)) return planTransaction(actual, desired);
  const kept = new Map(actual);
  kept.delete(EGRESS_TABLE);
  const remove: NftCommand = { kind: "table.delete", table: EGRESS_TABLE };
  return [remove, ...planTransaction(kept, desired)];
}
