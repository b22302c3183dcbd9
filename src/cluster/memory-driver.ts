/**
 * The driver without a disk, for tests and simulations. Several stores may share one, as several managers
 * will share a replicated one: all but the first of two simultaneous commits get a RevisionConflict.
 */
import type { Kind, ObjectsByKind, Revision, StoreEvent } from "./store.ts";
import {
  CHANGELOG_REVISIONS,
  RevisionConflict,
  type StoreDriver,
  type StoredObject,
  type StoredState,
} from "./store-driver.ts";

export interface MemoryDriverInit {
  readonly changelogRevisions?: number;
}

export class MemoryDriver implements StoreDriver {
  readonly #changelogRevisions: number;
  readonly #objects = new Map<string, StoredObject>();
  readonly #secrets = new Map<string, string>();
  readonly #watchers = new Set<() => void>();
  #log: StoreEvent[] = [];
  #revision: Revision = 0;

  constructor(init: MemoryDriverInit = {}) {
    this.#changelogRevisions = init.changelogRevisions ?? CHANGELOG_REVISIONS;
  }

  /** What `load` answers, for whoever cannot wait. */
  get state(): StoredState {
    return { revision: this.#revision, objects: [...this.#objects.values()] };
  }

  async load(): Promise<StoredState> {
    return this.state;
  }

  async commit(transactions: readonly StoreEvent[], base: Revision): Promise<void> {
    if (base !== this.#revision) throw new RevisionConflict();
    for (const event of transactions) {
      for (const { action, kind, object } of event.changes) {
        const key = `${kind}/${object.id}`;
        if (action === "remove") this.#objects.delete(key);
        else this.#objects.set(key, stored(kind, object));
      }
      this.#log.push(event);
      this.#revision = event.revision;
    }
    // Compacted in large steps, so that a commit does not copy the log.
    if (this.#log.length > 2 * this.#changelogRevisions) {
      this.#log = this.#log.slice(-this.#changelogRevisions);
    }
    for (const watcher of this.#watchers) watcher();
  }

  async history(revision: Revision): Promise<readonly StoreEvent[] | undefined> {
    if (revision >= this.#revision) return [];
    const oldest = this.#log[0]?.revision ?? this.#revision + 1;
    if (revision + 1 < oldest) return undefined;
    return this.#log.slice(revision + 1 - oldest);
  }

  watch(listener: () => void): () => void {
    this.#watchers.add(listener);
    return () => void this.#watchers.delete(listener);
  }

  async readSecrets(): Promise<ReadonlyMap<string, string>> {
    return this.#secrets;
  }

  async writeSecret(name: string, value: string): Promise<void> {
    this.#secrets.set(name, value);
  }

  async close(): Promise<void> {}
}

function stored<K extends Kind>(kind: K, object: ObjectsByKind[K]): StoredObject {
  return { kind, object } as StoredObject;
}
