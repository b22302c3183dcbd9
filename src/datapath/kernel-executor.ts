/** The one that changes the host's kernel: carries plans out, step by step, in the order in which no packet is lost. */
import type { Clock } from "../base/clock.ts";
import type { Logger } from "../base/logger.ts";
import type { Meters } from "../base/meters.ts";
import type { Conntrack } from "./conntrack/conntrack.ts";
import type { FlowMeter } from "./conntrack/flow-meter.ts";
import type { Forget } from "./conntrack/forget.ts";
import type { HostSettings } from "./host-settings.ts";
import { batches, type NetworkCommand } from "./ip/command.ts";
import { execute, executeRemovals } from "./ip/execute.ts";
import { LATE_FLOWS_MAX, lateAnswersTransaction } from "./late-answers.ts";
import type { Nft } from "./nft/nft.ts";
import { renderTransaction } from "./nft/transaction.ts";
import type { Plan } from "./plan.ts";
import type { RunTool } from "./run.ts";

/** So much may be owed; of what is older the clients find out by themselves. */
const OWED_MAX = 10_000;

export interface KernelExecutorComponents {
  readonly log: Logger;
  readonly nft: Nft;
  readonly run: RunTool;
  readonly conntrack: Conntrack;
  /** Absent where nobody counts what ports carry. */
  readonly flows: FlowMeter | undefined;
  readonly settings: HostSettings;
  readonly clock: Clock;
  readonly meters: Meters;
}

export class KernelExecutor {
  readonly #components: KernelExecutorComponents;
  #executing = 0;
  #changedAt = 0;
  /** What a plan that failed halfway was to forget: who plans next does not know of it any more. */
  #owed: readonly Forget[] = [];

  constructor(components: KernelExecutorComponents) {
    this.#components = components;
  }

  /** When the kernel was last changed, on the monotonic clock; Infinity while it is. */
  get changedAt(): number {
    return this.#executing > 0 ? Number.POSITIVE_INFINITY : this.#changedAt;
  }

  /** Whether something of a plan that failed is still to be done, whatever the next one is. */
  get owes(): boolean {
    return this.#owed.length > 0;
  }

  /** Resolves when the kernel has all of it. */
  async carryOut(plan: Plan): Promise<void> {
    const { clock, meters, run, settings } = this.#components;
    const startedAt = clock.monotonic();
    const forget = [...this.#owed, ...plan.forget];
    const gone = goneIn(forget);
    this.#owed = forget.slice(-OWED_MAX);
    await this.changing(async () => {
      await settings.remember(plan.additions);
      await execute(run, batches(plan.additions));
      await this.#commit(plan);
      await this.#expectLateAnswers(plan);
      await this.#forget(forget);
      await executeRemovals(run, batches(plan.removals));
      // A packet that the rules of before had judged may have begun a flow meanwhile; now none finds a way there.
      await this.#forget(forget.filter((one) => "address" in one && gone.has(one.address)));
      await this.#wake([...gone]);
    });
    this.#owed = [];
    meters.apply.observe(clock.monotonic() - startedAt);
  }

  /** Takes everything away that the plan removes, and these links: nobody is to be spared any more. */
  async clear(plan: Plan, links: readonly string[], endpoints: readonly string[]): Promise<void> {
    const deletions = links.map((name): NetworkCommand => ({ kind: "link.delete", name }));
    await this.#commit(plan);
    await executeRemovals(this.#components.run, batches([...plan.removals, ...deletions]));
    await this.#forget(endpoints.map((address) => ({ kind: "all-to", address })));
  }

  /** What the kernel tells of while this works is likely Weft's own doing. */
  async changing<T>(work: () => Promise<T>): Promise<T> {
    this.#executing += 1;
    try {
      return await work();
    } finally {
      this.#executing -= 1;
      this.#changedAt = this.#components.clock.monotonic();
    }
  }

  async #commit({ transaction }: Plan): Promise<void> {
    if (transaction.length > 0) await this.#components.nft.run(renderTransaction(transaction));
  }

  /** A connection that is not forgotten is only slower: the change itself stands. */
  async #forget(forget: readonly Forget[]): Promise<void> {
    if (forget.length === 0) return;
    try {
      await this.#components.conntrack.forget(forget);
    } catch (error) {
      this.#components.log.warn("could not forget connections", { error });
    }
  }

  /** Before their flows are forgotten. An answer that is lost is one that the client asks for again. */
  async #expectLateAnswers({ late }: Plan): Promise<void> {
    if (late.length === 0) return;
    const { conntrack, log, nft } = this.#components;
    try {
      const flows = await conntrack.flows(late, LATE_FLOWS_MAX);
      const transaction = lateAnswersTransaction(flows);
      if (transaction !== "") await nft.run(transaction);
    } catch (error) {
      log.warn("late answers of moved UDP flows may be lost", { error });
    }
  }

  /** Last, when what clients then ask finds no way any more. Who is not woken finds out later. */
  async #wake(gone: readonly string[]): Promise<void> {
    const { conntrack, flows, log } = this.#components;
    if (gone.length === 0) return;
    flows?.forget(gone);
    try {
      const clients = await conntrack.wake(gone);
      if (clients > 0) log.info("clients of tasks that are gone are told", { clients });
    } catch (error) {
      log.warn("clients of tasks that are gone are not told", { error });
    }
  }
}

/** Endpoints that are no more, of those that flows are to be forgotten to. */
function goneIn(forget: readonly Forget[]): ReadonlySet<string> {
  return new Set(forget.flatMap((one) => (one.kind === "half-open-to" ? [one.address] : [])));
}
