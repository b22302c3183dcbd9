/**
 * All sets of names, and what of them is on disk: a keeper that was started anew answers with what the last one was
 * told. A file for each set, written behind: what a crash loses of it the daemon tells again.
 */
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import type { Clock, Timer } from "../../base/clock.ts";
import { ConflictError } from "../../base/errors.ts";
import { DiskRefusedError, writeFailure } from "../../base/files.ts";
import type { Logger } from "../../base/logger.ts";
import { parseObject } from "../decode.ts";
import { Serial } from "../serial.ts";
import { NameIndex } from "./name-index.ts";
import { decodeNameSetChange, type NameSetChange, nameSetID } from "./names.ts";

/** A host has no more networks than this; one more set is refused. */
const SETS_MAX = 4_096;
/** A set that changes often is written once in so long. */
const WRITE_DELAY_MS = 2_000;
/** What a full disk did not take is written again after this. */
const REFUSED_DELAY_MS = 5_000;
/** Groups that are made text before whoever asks is answered: less than a millisecond of them. */
const GROUPS_AT_ONCE = 200;
/** The revision of a set that was read from disk: no change is based on it. */
const REMEMBERED = "remembered";

interface NameSet {
  readonly index: NameIndex;
  readonly revision: string;
}

export class NameStore {
  readonly #directory: string;
  readonly #log: Logger;
  readonly #sets = new Map<string, NameSet>();
  /** Whole sets of which the end has not come yet. */
  readonly #coming = new Map<string, NameSet>();
  readonly #unwritten = new Set<string>();
  readonly #files = new Serial();
  readonly #clock: Clock;
  #writing: Timer | undefined;
  /** The disk took nothing when it was tried last. */
  #isRefused = false;

  constructor({ clock, log }: { readonly clock: Clock; readonly log: Logger }, directory: string) {
    this.#directory = directory;
    this.#clock = clock;
    this.#log = log;
  }

  get(set: string): NameIndex | undefined {
    return this.#sets.get(set)?.index;
  }

  /** Those that anybody may ask for where they listen. */
  zones(): readonly NameIndex[] {
    return [...this.#sets.values()]
      .map(({ index }) => index)
      .filter(({ frame }) => frame.listen !== undefined);
  }

  /** Refused with a conflict when it changes what is not there: the whole set is to be told then. */
  change(change: NameSetChange): void {
    const { set, base, revision, more } = change;
    const next = base === undefined ? this.#begin(change) : this.#continue(set, base);
    next.change(change);
    if (more === true) {
      this.#coming.set(set, { index: next, revision });
      return;
    }
    this.#coming.delete(set);
    this.#sets.set(set, { index: next, revision });
    this.#write(set);
  }

  /** Forgets every other set. */
  keep(sets: readonly string[]): void {
    const kept = new Set(sets);
    for (const set of [...this.#sets.keys(), ...this.#coming.keys()]) {
      if (kept.has(set)) continue;
      this.#sets.delete(set);
      this.#coming.delete(set);
      this.#write(set);
    }
  }

  async load(): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    for (const file of await readdir(this.#directory)) {
      if (file.endsWith(".json")) await this.#load(file);
    }
  }

  /** Resolves when all is on disk. */
  async flush(): Promise<void> {
    this.#writing?.cancel();
    this.#writing = undefined;
    const sets = [...this.#unwritten];
    this.#unwritten.clear();
    await this.#files.run(async () => {
      for (const set of sets) await this.#writeNow(set);
    });
  }

  #begin(change: NameSetChange): NameIndex {
    if (!this.#sets.has(change.set) && this.#sets.size >= SETS_MAX) {
      throw new ConflictError("the keeper has too many sets of names");
    }
    return new NameIndex(change);
  }

  #continue(set: string, base: string): NameIndex {
    for (const known of [this.#coming.get(set), this.#sets.get(set)]) {
      if (known?.revision === base) return known.index;
    }
    throw new ConflictError(`the keeper does not have revision ${base} of the names of ${set}`);
  }

  async #load(file: string): Promise<void> {
    const path = join(this.#directory, file);
    try {
      const change = decodeNameSetChange(
        parseObject(await readFile(path, "utf8"), "a set of names"),
      );
      const index = new NameIndex(change);
      index.change(change);
      this.#sets.set(change.set, { index, revision: REMEMBERED });
    } catch (error) {
      this.#log.error("names cannot be read and are forgotten", { path, error });
      await rm(path, { force: true });
    }
  }

  #write(set: string): void {
    this.#unwritten.add(set);
    this.#writing ??= this.#clock.timer("keeper.names.write", WRITE_DELAY_MS, () => {
      void this.flush();
    });
  }

  async #writeNow(set: string): Promise<void> {
    const path = join(this.#directory, `${nameSetID(set)}.json`);
    const index = this.get(set);
    try {
      if (index === undefined) return await rm(path, { force: true });
      await writeFile(`${path}.new`, textOf(set, index), { mode: 0o600 });
      await rename(`${path}.new`, path);
      this.#isRefused = false;
    } catch (error) {
      this.#owe(set, writeFailure(path, error));
    }
  }

  /** A disk that takes nothing now is tried again, and named once. */
  #owe(set: string, error: unknown): void {
    const isRefused = error instanceof DiskRefusedError;
    if (!isRefused || !this.#isRefused) this.#log.error("names are not written", { set, error });
    this.#isRefused = isRefused;
    if (!isRefused) return;
    this.#unwritten.add(set);
    this.#writing ??= this.#clock.timer("keeper.names.write", REFUSED_DELAY_MS, () => {
      void this.flush();
    });
  }
}

/** The whole set as a change, in parts: who asks meanwhile waits for one of them at most. */
async function* textOf(set: string, { frame, groups }: NameIndex): AsyncGenerator<string> {
  const whole: NameSetChange = { ...frame, set, revision: REMEMBERED, put: [], remove: [] };
  const { put: _none, ...rest } = whole;
  yield `${JSON.stringify(rest).slice(0, -1)},"put":[`;
  for (let from = 0; from < groups.length; from += GROUPS_AT_ONCE) {
    const part = groups.slice(from, from + GROUPS_AT_ONCE).map((group) => JSON.stringify(group));
    yield `${from === 0 ? "" : ","}${part.join(",")}`;
    await setImmediate();
  }
  yield "]}";
}
