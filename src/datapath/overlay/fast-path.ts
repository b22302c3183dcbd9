/**
 * The kernel's part of the fast way: tried once, brought to the links, read back and mended. Whatever goes wrong with it
 * leaves the frames to the bridge, which carries them as well, only dearer; so it fails nobody's change.
 */

import { messageOf } from "../../base/errors.ts";
import type { Logger } from "../../base/logger.ts";
import { FAST_TABLE } from "../../base/overlay-links.ts";
import type { Drift } from "../describe.ts";
import { decodeTable } from "../nft/decode.ts";
import type { Nft } from "../nft/nft.ts";
import type { Table } from "../nft/ruleset.ts";
import { type NftTransaction, renderTransaction } from "../nft/transaction.ts";
import { fastDrifts, joined, planFast } from "./fast-plan.ts";
import { FAST_TRIAL, type FastNetworks, fastNetworks } from "./fast-rules.ts";
import type { OverlayState } from "./state.ts";

export interface FastPathComponents {
  readonly nft: Nft;
  /** The indexes of those of these links that are there, by name. */
  readonly indexesOf: (names: Iterable<string>) => Promise<ReadonlyMap<string, number>>;
  readonly log: Logger;
  /** Told of what is done to the host's kernel while it is done, for the kernel tells of that too. */
  readonly changing: (work: () => Promise<void>) => Promise<void>;
}

/** What a look has found. */
export interface FastFound {
  /** Undefined when there is none, or none that can be read. */
  readonly table: Table | undefined;
  /** Somebody has put something there that Weft never would. */
  readonly isStrange: boolean;
}

/** Links as they are to be. */
export interface FastScope {
  /** Of these networks alone; of all when absent, and the kernel is compared with them. */
  readonly bridges?: ReadonlySet<string>;
  readonly state: OverlayState;
  /** What the kernel has of all of them; it is looked for when absent. */
  readonly found?: FastFound;
}

export interface FastReport {
  /** Commands that it took. */
  readonly changes: number;
  /** What was found to be damaged. */
  readonly drifts: readonly Drift[];
}

const NOTHING: FastReport = { changes: 0, drifts: [] };

export class FastPath {
  readonly #components: FastPathComponents;
  /** Whether this kernel can; undefined until it was tried. */
  #canForward: boolean | undefined;
  /** What the kernel has; undefined when it must be read back. */
  #believed: Map<string, Table> | undefined;
  /** Why it could not be brought to the links: said once, not at each try. */
  #failure: string | undefined;

  constructor(components: FastPathComponents) {
    this.#components = components;
  }

  /** Brings the fast ways of these networks to their links. What fails is left to the bridge until the next audit. */
  async bring(scope: FastScope): Promise<FastReport> {
    if (scope.bridges !== undefined && this.#believed === undefined) return NOTHING;
    if (!(await this.#isOfUse(scope.state))) return NOTHING;
    try {
      const report = await this.#bringOnce(scope);
      this.#failure = undefined;
      return report;
    } catch (error) {
      await this.#giveUp(error);
      return NOTHING;
    }
  }

  /** What the kernel holds. */
  async look(): Promise<FastFound> {
    const listing = await this.#list();
    try {
      return { table: listing === undefined ? undefined : decodeTable(listing), isStrange: false };
    } catch {
      return { table: undefined, isStrange: true };
    }
  }

  /** Takes it off the host. */
  async reset(): Promise<void> {
    if ((await this.#list()) !== undefined) {
      await this.#commit([{ kind: "table.delete", table: FAST_TABLE }]);
    }
    this.#believed = undefined;
  }

  async #bringOnce({ bridges, state, found }: FastScope): Promise<FastReport> {
    const networks = fastNetworks(state, await this.#components.indexesOf(state.ports.keys()));
    return bridges === undefined || this.#believed === undefined
      ? await this.#bringAll(found ?? (await this.look()), networks)
      : await this.#bringSome(this.#believed, bridges, networks);
  }

  /** Costs these networks. */
  async #bringSome(
    believed: Map<string, Table>,
    bridges: ReadonlySet<string>,
    networks: FastNetworks,
  ): Promise<FastReport> {
    const before = new Map<string, Table>();
    for (const bridge of bridges) {
      const table = believed.get(bridge);
      if (table !== undefined) before.set(bridge, table);
    }
    const isAny = believed.size - before.size + networks.size > 0;
    const transaction = planFast(
      believed.size > 0 ? joined(before) : undefined,
      isAny ? joined(networks) : undefined,
    );
    await this.#commit(transaction);
    for (const bridge of bridges) believed.delete(bridge);
    for (const [bridge, table] of networks) believed.set(bridge, table);
    return { changes: transaction.length, drifts: [] };
  }

  async #bringAll({ table, isStrange }: FastFound, networks: FastNetworks): Promise<FastReport> {
    const drifts = this.#believed ? fastDrifts(table, this.#believed, networks) : [];
    if (isStrange) await this.reset();
    const transaction = planFast(table, networks.size > 0 ? joined(networks) : undefined);
    await this.#commit(transaction);
    this.#believed = new Map(networks);
    return { changes: transaction.length, drifts };
  }

  async #list(): Promise<unknown> {
    return await this.#components.nft.list(`table ${FAST_TABLE}`);
  }

  async #commit(transaction: NftTransaction): Promise<void> {
    if (transaction.length === 0) return;
    const { changing, nft } = this.#components;
    await changing(() => nft.run(renderTransaction(transaction)));
  }

  /** A host without such networks is neither tried nor asked. */
  async #isOfUse({ ports }: OverlayState): Promise<boolean> {
    if (ports.size === 0 && (this.#believed?.size ?? 0) === 0) return false;
    this.#canForward ??= await this.#tryKernel();
    return this.#canForward;
  }

  async #tryKernel(): Promise<boolean> {
    const { log, nft } = this.#components;
    try {
      await nft.run(FAST_TRIAL);
      return true;
    } catch (error) {
      log.warn(
        "frames of overlay networks take the slower way: the kernel cannot forward them where they come in",
        { error },
      );
      return false;
    }
  }

  /** Ways that may be wrong must not stay: without the table all frames are the bridge's. */
  async #giveUp(error: unknown): Promise<void> {
    const { log } = this.#components;
    this.#believed = undefined;
    const failure = messageOf(error);
    if (failure !== this.#failure)
      log.warn("the fast way of overlay networks is left out", { error });
    this.#failure = failure;
    await this.reset().catch((cause: unknown) =>
      log.warn("the fast way of overlay networks cannot be taken away", { error: cause }),
    );
  }
}
