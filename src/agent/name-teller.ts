/** Keeps the keeper told of names: the whole of a set once, then what changed. */
import { randomUUID } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { ConflictError } from "../base/errors.ts";
import { chunksOf } from "../dispatcher/chunks.ts";
import type { NameGroup, NameSetChange } from "../keeper/dns/names.ts";
import type { KeeperClient } from "../keeper/protocol.ts";
import type { NameSet } from "./names.ts";

/** Names and addresses in one message: some hundred kilobytes. */
const WEIGHT_PER_MESSAGE_MAX = 4_000;

interface Told {
  /** What was told, itself: of thousands of sets most are the very same each time. */
  readonly as: NameSet;
  readonly frame: Omit<NameSet, "groups">;
  readonly revision: string;
  readonly groups: ReadonlyMap<string, NameGroup>;
}

export class NameTeller {
  readonly #keeper: KeeperClient;
  /** What the keeper has for sure, by the set's id. */
  readonly #told = new Map<string, Told>();
  #kept: readonly string[] | undefined;
  #count = 0;
  /** Revisions of another teller are none of this one's. */
  readonly #name = randomUUID().slice(0, 8);

  constructor(keeper: KeeperClient) {
    this.#keeper = keeper;
  }

  /** The keeper may be another one now. */
  forget(): void {
    this.#told.clear();
    this.#kept = undefined;
  }

  /** Resolves when the keeper answers as these sets say, and for no other. */
  async tell(sets: readonly NameSet[]): Promise<void> {
    for (const set of sets) {
      if (this.#told.get(set.set)?.as === set) continue;
      try {
        await this.#tellSet(set);
      } catch (error) {
        if (!(error instanceof ConflictError)) throw error;
        this.#told.delete(set.set);
        await this.#tellSet(set);
      }
    }
    const ids = sets.map(({ set }) => set).toSorted();
    if (isDeepStrictEqual(ids, this.#kept)) return;
    await this.#keeper.keepNames(ids);
    this.#kept = ids;
    const kept = new Set(ids);
    for (const id of this.#told.keys()) if (!kept.has(id)) this.#told.delete(id);
  }

  async #tellSet(set: NameSet): Promise<void> {
    const before = this.#told.get(set.set);
    const { groups: list, ...frame } = set;
    const known = before !== undefined && isDeepStrictEqual(frame, before.frame);
    const groups = new Map(list.map((group) => [group.id, group]));
    const put = known ? list.filter((group) => !isSame(before.groups.get(group.id), group)) : list;
    const remove = known ? [...before.groups.keys()].filter((id) => !groups.has(id)) : [];
    if (known && put.length === 0 && remove.length === 0) {
      this.#told.set(set.set, { ...before, as: set });
      return;
    }
    // Whatever becomes of it, the keeper has the old revision no more.
    this.#told.delete(frame.set);
    const chunks = chunksOf(put, WEIGHT_PER_MESSAGE_MAX, weightOf);
    let base = known ? before.revision : undefined;
    for (const [at, chunk] of chunks.entries()) {
      const revision = this.#nextRevision();
      const last = at === chunks.length - 1;
      const change: NameSetChange = {
        ...frame,
        ...(base === undefined ? {} : { base }),
        ...(known || last ? {} : { more: true }),
        ...{ revision, put: chunk, remove: at === 0 ? remove : [] },
      };
      await this.#keeper.changeNames(change);
      base = revision;
    }
    if (base !== undefined) this.#told.set(frame.set, { as: set, frame, revision: base, groups });
  }

  #nextRevision(): string {
    this.#count += 1;
    return `${this.#name}-${this.#count}`;
  }
}

/** Mostly it is the very same. */
function isSame(before: NameGroup | undefined, after: NameGroup): boolean {
  return before === after || isDeepStrictEqual(before, after);
}

function weightOf({ entries }: NameGroup): number {
  return entries.reduce((sum, entry) => {
    const { names, addresses = [], hosts = [], ports = [] } = entry;
    return sum + names.length + addresses.length + hosts.length + ports.length;
  }, 1);
}
