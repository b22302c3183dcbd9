/**
 * The Store over any driver: a replica in memory answers reads; writes queue, and what is queued when the
 * driver is free is committed together, one transaction each, with one wait for the disk.
 */
import { AssertionFault } from "../base/assert.ts";
import type { Clock } from "../base/clock.ts";
import { InvalidParameterError, messageOf, UnavailableError } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import type { Meters } from "../base/meters.ts";
import { Replica } from "./replica.ts";
import type { Revision, SecretBox, Snapshot, Store, StoreEvent, Transaction } from "./store.ts";
import { RevisionConflict, type StoreDriver, type StoredState } from "./store-driver.ts";
import { StoreTransaction } from "./store-transaction.ts";

export interface DriverStoreComponents {
  readonly driver: StoreDriver;
  readonly clock: Clock;
  readonly log: Logger;
  readonly meters?: Meters;
}

/** Transactions that share one commit; more of them wait for the next. */
const GROUP_SIZE_MAX = 256;
/** How often one group is decided again because others committed first; then its callers are told to try again. */
const CONFLICTS_MAX = 16;
/** Events that a watcher may lag behind; beyond, its iteration ends with an error and it starts from a snapshot. */
const WATCH_BUFFER_MAX = 10_000;

/** A commit that fails for the same reason as the one before is logged again after this. */
const FAILED_AGAIN_MS = 60_000;

interface Pending {
  readonly write: (tx: Transaction) => unknown;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

interface Decided {
  readonly pending: Pending;
  readonly value: unknown;
  readonly step: { readonly event: StoreEvent; readonly replica: Replica } | undefined;
}

export class DriverStore implements Store {
  readonly secrets: SecretBox;
  readonly #driver: StoreDriver;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #meters: Meters | undefined;
  readonly #listeners = new Set<(event: StoreEvent) => void>();
  readonly #unwatch: () => void;
  #replica: Replica;
  #queue: Pending[] = [];
  #flushing: Promise<void> | undefined;
  #behind = false;
  #closed = false;
  /** Why the last commit failed; undefined once one was durable. */
  #failed: { readonly error: string; readonly saidAt: number } | undefined;

  constructor(
    components: DriverStoreComponents,
    stored: StoredState,
    secrets: ReadonlyMap<string, string>,
  ) {
    this.#driver = components.driver;
    this.#clock = components.clock;
    this.#log = components.log;
    this.#meters = components.meters;
    this.#replica = replicaOf(stored);
    this.secrets = secretBox(components.driver, secrets);
    this.#unwatch = this.#driver.watch(() => {
      this.#behind = true;
      this.#wake();
    });
  }

  view(): Snapshot {
    return this.#replica;
  }

  update<T>(write: (tx: Transaction) => T): Promise<T> {
    if (this.#closed) return Promise.reject(new UnavailableError("the cluster store is closed"));
    const askedAt = this.#clock.monotonic();
    return new Promise<T>((resolve, reject) => {
      const done = (value: unknown) => {
        this.#meters?.commit.observe(this.#clock.monotonic() - askedAt);
        resolve(value as T);
      };
      this.#queue.push({ write, resolve: done, reject });
      this.#wake();
    });
  }

  subscribe(listener: (event: StoreEvent) => void): () => void {
    // A wrapper per call, so that one function subscribed twice is called twice and unsubscribed once.
    const own = (event: StoreEvent) => listener(event);
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  async *watch(revision: Revision, signal: AbortSignal): AsyncIterable<StoreEvent> {
    const live: StoreEvent[] = [];
    let overflown = false;
    let wake = () => {};
    const unsubscribe = this.subscribe((event) => {
      overflown ||= live.length >= WATCH_BUFFER_MAX;
      if (!overflown) live.push(event);
      wake();
    });
    const onAbort = () => wake();
    signal.addEventListener("abort", onAbort);
    try {
      let last = revision;
      for (const event of await this.#historyUpToNow(revision)) {
        if (signal.aborted) return;
        yield event;
        last = event.revision;
      }
      while (!signal.aborted) {
        const event = live.shift();
        if (event === undefined) {
          if (overflown)
            throw new UnavailableError("the watcher fell too far behind: list and watch again");
          await new Promise<void>((resolve) => (wake = resolve));
        } else if (event.revision > last) {
          yield event;
        }
      }
    } finally {
      unsubscribe();
      signal.removeEventListener("abort", onAbort);
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#unwatch();
    await this.#flushing;
    await this.#driver.close();
  }

  async #historyUpToNow(revision: Revision): Promise<readonly StoreEvent[]> {
    const newest = this.#replica.revision;
    if (revision >= newest) return [];
    const events = await this.#driver.history(revision);
    if (events === undefined) {
      throw new InvalidParameterError(
        `revision ${revision} has been compacted: list and watch again`,
      );
    }
    return events.filter((event) => event.revision <= newest);
  }

  #wake(): void {
    this.#flushing ??= this.#flush();
  }

  async #flush(): Promise<void> {
    // On the next turn, so that all writes of one turn share a commit.
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (this.#queue.length > 0 || this.#behind) {
      const group = this.#queue.splice(0, GROUP_SIZE_MAX);
      try {
        await this.#commit(group);
      } catch (error) {
        if (error instanceof AssertionFault) throw error;
        this.#sayFailed(messageOf(error), group.length);
        for (const pending of group) pending.reject(error);
      }
    }
    // Here and not in a `finally`: a write that is queued as this one's caller goes on must find nobody flushing.
    this.#flushing = undefined;
  }

  /** A disk that is full fails all that is written, again and again: once is enough for a while. */
  #sayFailed(error: string, writes: number): void {
    const now = this.#clock.monotonic();
    if (this.#failed?.error === error && now - this.#failed.saidAt < FAILED_AGAIN_MS) return;
    this.#failed = { error, saidAt: now };
    this.#log.error("store commit failed", { error, writes });
  }

  async #commit(group: readonly Pending[]): Promise<void> {
    for (let attempt = 0; attempt < CONFLICTS_MAX; attempt++) {
      if (this.#behind) await this.#catchUp();
      const decided = this.#decide(group);
      const steps = decided.flatMap(({ step }) => (step === undefined ? [] : [step]));
      try {
        if (steps.length > 0) {
          await this.#driver.commit(
            steps.map(({ event }) => event),
            this.#replica.revision,
          );
          this.#failed = undefined;
        }
      } catch (error) {
        if (!(error instanceof RevisionConflict)) throw error;
        this.#behind = true;
        continue;
      }
      for (const { replica, event } of steps) this.#publish(replica, event);
      for (const { pending, value } of decided) pending.resolve(value);
      return;
    }
    throw new UnavailableError("the cluster store is written to by too many at once: try again");
  }

  /** Runs each write on what the ones before it left. One that throws is rejected only when the others stand. */
  #decide(group: readonly Pending[]): Decided[] {
    const decided: Decided[] = [];
    const now = new Date(this.#clock.now()).toISOString();
    let head = this.#replica;
    for (const pending of group) {
      const transaction = new StoreTransaction(head, now);
      try {
        const value = pending.write(transaction);
        const step = transaction.end();
        if (step !== undefined) head = step.replica;
        decided.push({ pending, value, step });
      } catch (error) {
        if (error instanceof AssertionFault) throw error;
        transaction.end();
        const rejection = Promise.reject(error);
        rejection.catch(() => {});
        decided.push({ pending, value: rejection, step: undefined });
      }
    }
    return decided;
  }

  async #catchUp(): Promise<void> {
    this.#behind = false;
    const events = await this.#driver.history(this.#replica.revision);
    if (events === undefined) {
      throw new UnavailableError(
        "this manager's copy of the cluster is too old: restart its daemon",
      );
    }
    for (const event of events) {
      const replica = event.changes.reduce((each, change) => each.apply(change), this.#replica);
      this.#publish(replica.atRevision(event.revision), event);
    }
  }

  #publish(replica: Replica, event: StoreEvent): void {
    this.#replica = replica;
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        // The write stands whatever a listener does; a listener that throws is a programmer's error.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}

function replicaOf(stored: StoredState): Replica {
  let replica = Replica.empty();
  for (const { kind, object } of stored.objects) replica = replica.with(kind, object);
  return replica.atRevision(stored.revision);
}

function secretBox(driver: StoreDriver, stored: ReadonlyMap<string, string>): SecretBox {
  const secrets = new Map(stored);
  return {
    get: (name) => secrets.get(name),
    async set(name, value) {
      await driver.writeSecret(name, value);
      secrets.set(name, value);
    },
  };
}
