/**
 * What a store needs below it: durable objects, a changelog, and a place for secrets. Small on purpose,
 * so that an embedded database and a replicated one both fit. Everything above (snapshots, transactions,
 * events, group commit) is DriverStore's and the same for all.
 */
import type { Kind, ObjectsByKind, Revision, StoreEvent } from "./store.ts";

/** Everything that stands at one revision. */
export interface StoredState {
  readonly revision: Revision;
  readonly objects: readonly StoredObject[];
}

export type StoredObject = {
  [K in Kind]: { readonly kind: K; readonly object: ObjectsByKind[K] };
}[Kind];

export interface StoreDriver {
  /** All that stands, at the newest revision. */
  load(): Promise<StoredState>;
  /**
   * Appends the transactions, all or none; resolves when they are durable. Rejects with RevisionConflict,
   * having written nothing, when the newest stored revision is not `base`.
   */
  commit(transactions: readonly StoreEvent[], base: Revision): Promise<void>;
  /** The transactions after `revision`, oldest first; undefined when some of them are compacted away. */
  history(revision: Revision): Promise<readonly StoreEvent[] | undefined>;
  /** Calls `listener` when somebody else may have committed; returns the unsubscribe function. */
  watch(listener: () => void): () => void;
  readSecrets(): Promise<ReadonlyMap<string, string>>;
  writeSecret(name: string, value: string): Promise<void>;
  close(): Promise<void>;
}

/** Somebody else committed first: catch up, and decide again. Never leaves the store. */
export class RevisionConflict extends Error {
  override readonly name = "RevisionConflict";
}

/**
 * How many revisions of changelog a driver keeps at least. A watcher that asks for an older one is told
 * so and starts again from a snapshot.
 */
export const CHANGELOG_REVISIONS = 10_000;
