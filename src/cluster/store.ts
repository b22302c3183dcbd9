/**
 * The store's interface: the cluster's objects with versions, transactions, compare-and-set and
 * watch-from-revision. Reads are synchronous snapshots of memory; a write is durable before anybody,
 * its own caller included, sees it. Drivers (node:sqlite, embedded; etcd for several managers) differ
 * only below this interface; one contract suite runs over each.
 */
import type {
  Attachment,
  Cluster,
  Config,
  Network,
  Node,
  Secret,
  Service,
  Task,
} from "./objects.ts";

export interface ObjectsByKind {
  readonly cluster: Cluster;
  readonly node: Node;
  readonly service: Service;
  readonly task: Task;
  readonly network: Network;
  readonly secret: Secret;
  readonly config: Config;
  readonly attachment: Attachment;
}
export const KINDS = [
  "cluster",
  "node",
  "service",
  "task",
  "network",
  "secret",
  "config",
  "attachment",
] as const;
export type Kind = (typeof KINDS)[number];

/** The store's own counter: one higher with every transaction that wrote. Never an engine's. */
export type Revision = number;

/** A consistent, unchanging view of all objects at one revision. */
export interface Snapshot {
  readonly revision: Revision;
  get<K extends Kind>(kind: K, id: string): ObjectsByKind[K] | undefined;
  list<K extends Kind>(kind: K): readonly ObjectsByKind[K][];
  /** By index, so that no loop walks all tasks for one service's or node's. */
  tasksOfService(serviceID: string): readonly Task[];
  tasksOfNode(nodeID: string): readonly Task[];
}

/** What a writer says of an object; the store sets version and times. A whole object is a draft too. */
export type Draft<T> = Omit<T, "version" | "createdAt" | "updatedAt">;

export interface Transaction extends Snapshot {
  /** The version index that whatever this transaction writes will have; `revision` is the one it reads. */
  readonly nextRevision: Revision;
  /** Creates, or replaces whole; what says the same as before is no change. */
  put<K extends Kind>(kind: K, object: Draft<ObjectsByKind[K]>): void;
  /** The same, of what a user has written: a version of its own even when it says what was. */
  putWritten<K extends Kind>(kind: K, object: Draft<ObjectsByKind[K]>): void;
  /** Harmless when it is not there. */
  delete(kind: Kind, id: string): void;
}

export type Change = {
  [K in Kind]:
    | { readonly action: "create"; readonly kind: K; readonly object: ObjectsByKind[K] }
    | {
        readonly action: "update";
        readonly kind: K;
        readonly object: ObjectsByKind[K];
        readonly old: ObjectsByKind[K];
      }
    | { readonly action: "remove"; readonly kind: K; readonly object: ObjectsByKind[K] };
}[Kind];

/** All changes of one transaction, in the order they were made. */
export interface StoreEvent {
  readonly revision: Revision;
  readonly changes: readonly Change[];
}

export interface Store {
  /** The newest snapshot. Free: it is shared, not copied. */
  view(): Snapshot;
  /**
   * Runs `write` against the newest state and commits what it put, all or nothing; resolves when durable.
   * `write` is synchronous, may be run again after a conflict, and what it throws aborts the transaction.
   * A transaction that put nothing (or only what already stood there) makes no revision and no event.
   */
  update<T>(write: (tx: Transaction) => T): Promise<T>;
  /**
   * Calls `listener` with every event from now on, in order, right after its commit; listeners only mark
   * things dirty. Returns the unsubscribe function.
   */
  subscribe(listener: (event: StoreEvent) => void): () => void;
  /** Events after `revision`, then live ones; throws InvalidParameterError when that revision is compacted away. */
  watch(revision: Revision, signal: AbortSignal): AsyncIterable<StoreEvent>;
  /** Small secrets of a manager that are never objects: the CA's key, for one. */
  readonly secrets: SecretBox;
  close(): Promise<void>;
}

/** Values in the driver's own protected storage, read only by name, never listed and never logged. */
export interface SecretBox {
  get(name: string): string | undefined;
  set(name: string, value: string): Promise<void>;
}
