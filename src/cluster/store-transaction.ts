/** One run of a caller's `write` function: reads see its own writes; `event()` is what it comes to. */
import type { Task } from "./objects.ts";
import type { Replica } from "./replica.ts";
import { sameValue } from "./same-value.ts";
import type {
  Change,
  Draft,
  Kind,
  ObjectsByKind,
  Revision,
  StoreEvent,
  Transaction,
} from "./store.ts";

interface Touched {
  readonly kind: Kind;
  readonly id: string;
  readonly original: ObjectsByKind[Kind] | undefined;
}

export class StoreTransaction implements Transaction {
  readonly nextRevision: Revision;
  readonly #now: string;
  readonly #base: Replica;
  /** Written by users, so that a change is made of them whatever they say. */
  readonly #written = new Set<string>();
  readonly #touched = new Map<string, Touched>();
  #state: Replica;
  #ended = false;

  constructor(base: Replica, now: string) {
    this.nextRevision = base.revision + 1;
    this.#now = now;
    this.#base = base;
    this.#state = base;
  }

  get revision(): Revision {
    return this.#base.revision;
  }
  get<K extends Kind>(kind: K, id: string): ObjectsByKind[K] | undefined {
    return this.#state.get(kind, id);
  }
  list<K extends Kind>(kind: K): readonly ObjectsByKind[K][] {
    return this.#state.list(kind);
  }
  tasksOfService(serviceID: string): readonly Task[] {
    return this.#state.tasksOfService(serviceID);
  }
  tasksOfNode(nodeID: string): readonly Task[] {
    return this.#state.tasksOfNode(nodeID);
  }

  put<K extends Kind>(kind: K, draft: Draft<ObjectsByKind[K]>): void {
    this.#put(kind, draft, false);
  }

  putWritten<K extends Kind>(kind: K, draft: Draft<ObjectsByKind[K]>): void {
    this.#put(kind, draft, true);
  }

  #put<K extends Kind>(kind: K, draft: Draft<ObjectsByKind[K]>, isWritten: boolean): void {
    this.#assertOpen();
    // What is left of a draft is the object without its meta: the three fields that are set here.
    const id = draft.id as string;
    const old = this.#state.get(kind, id);
    const object = {
      ...draft,
      version: { index: this.nextRevision },
      createdAt: this.#base.get(kind, id)?.createdAt ?? old?.createdAt ?? this.#now,
      updatedAt: this.#now,
    } as ObjectsByKind[K];
    if (!isWritten && old !== undefined && sameContent(old, object)) return;
    this.#touch(kind, id);
    if (isWritten) this.#written.add(keyOf(kind, id));
    this.#state = this.#state.with(kind, object);
  }

  delete(kind: Kind, id: string): void {
    this.#assertOpen();
    if (this.#state.get(kind, id) === undefined) return;
    this.#touch(kind, id);
    this.#state = this.#state.without(kind, id);
  }

  /** Closes the transaction: what it changed, and the replica after it; undefined when nothing came of it. */
  end(): { readonly event: StoreEvent; readonly replica: Replica } | undefined {
    this.#ended = true;
    const changes: Change[] = [];
    let replica = this.#base;
    for (const { kind, id, original } of this.#touched.values()) {
      const isWritten = this.#written.has(keyOf(kind, id));
      const change = changeOf(kind, original, this.#state.get(kind, id), isWritten);
      if (change === undefined) continue;
      changes.push(change);
      replica = replica.apply(change);
    }
    if (changes.length === 0) return undefined;
    return {
      event: { revision: this.nextRevision, changes },
      replica: replica.atRevision(this.nextRevision),
    };
  }

  #touch(kind: Kind, id: string): void {
    const key = keyOf(kind, id);
    if (this.#touched.has(key)) return;
    this.#touched.set(key, { kind, id, original: this.#base.get(kind, id) });
  }

  #assertOpen(): void {
    if (this.#ended) throw new Error("a store transaction was written to after its end");
  }
}

function keyOf(kind: Kind, id: string): string {
  return `${kind}/${id}`;
}

function changeOf(
  kind: Kind,
  original: ObjectsByKind[Kind] | undefined,
  object: ObjectsByKind[Kind] | undefined,
  isWritten: boolean,
): Change | undefined {
  if (object === undefined) {
    if (original === undefined) return undefined;
    return { action: "remove", kind, object: original } as Change;
  }
  if (original === undefined) return { action: "create", kind, object } as Change;
  if (!isWritten && sameContent(original, object)) return undefined;
  return { action: "update", kind, object, old: original } as Change;
}

/** Equal but for what the store itself sets at each write. */
function sameContent(a: ObjectsByKind[Kind], b: ObjectsByKind[Kind]): boolean {
  if (a === b) return true;
  return sameValue(
    { ...a, version: 0, updatedAt: "", createdAt: "" },
    { ...b, version: 0, updatedAt: "", createdAt: "" },
  );
}
