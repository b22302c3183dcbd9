/**
 * The whole cluster at one revision, in memory, immutable: what `Store.view()` hands out. A write makes
 * a new replica that shares everything it did not touch.
 */
import type { Task } from "./objects.ts";
import { PersistentMap } from "./persistent-map.ts";
import type { Change, Kind, ObjectsByKind, Revision, Snapshot } from "./store.ts";

type ObjectMaps = { readonly [K in Kind]: PersistentMap<ObjectsByKind[K]> };
type TaskIndex = PersistentMap<PersistentMap<Task>>;

interface ReplicaState {
  readonly revision: Revision;
  readonly objects: ObjectMaps;
  readonly tasksByService: TaskIndex;
  readonly tasksByNode: TaskIndex;
}

export class Replica implements Snapshot {
  readonly #state: ReplicaState;

  private constructor(state: ReplicaState) {
    this.#state = state;
  }

  static empty(): Replica {
    return new Replica({
      revision: 0,
      objects: {
        cluster: PersistentMap.empty(),
        node: PersistentMap.empty(),
        service: PersistentMap.empty(),
        task: PersistentMap.empty(),
        network: PersistentMap.empty(),
        secret: PersistentMap.empty(),
        config: PersistentMap.empty(),
        attachment: PersistentMap.empty(),
      },
      tasksByService: PersistentMap.empty(),
      tasksByNode: PersistentMap.empty(),
    });
  }

  get revision(): Revision {
    return this.#state.revision;
  }

  get<K extends Kind>(kind: K, id: string): ObjectsByKind[K] | undefined {
    return this.#state.objects[kind].get(id);
  }

  list<K extends Kind>(kind: K): readonly ObjectsByKind[K][] {
    return this.#state.objects[kind].values();
  }

  tasksOfService(serviceID: string): readonly Task[] {
    return this.#state.tasksByService.get(serviceID)?.values() ?? [];
  }

  tasksOfNode(nodeID: string): readonly Task[] {
    return this.#state.tasksByNode.get(nodeID)?.values() ?? [];
  }

  atRevision(revision: Revision): Replica {
    return new Replica({ ...this.#state, revision });
  }

  with<K extends Kind>(kind: K, object: ObjectsByKind[K]): Replica {
    const objects = {
      ...this.#state.objects,
      [kind]: this.#state.objects[kind].set(object.id, object),
    };
    if (kind !== "task") return new Replica({ ...this.#state, objects });
    return new Replica({
      ...this.#state,
      objects,
      ...this.#reindexed(this.#state.objects.task.get(object.id), object as Task),
    });
  }

  without(kind: Kind, id: string): Replica {
    const objects = { ...this.#state.objects, [kind]: this.#state.objects[kind].delete(id) };
    if (kind !== "task") return new Replica({ ...this.#state, objects });
    return new Replica({
      ...this.#state,
      objects,
      ...this.#reindexed(this.#state.objects.task.get(id), undefined),
    });
  }

  /** The replica after one change as the changelog has it. */
  apply(change: Change): Replica {
    return change.action === "remove"
      ? this.without(change.kind, change.object.id)
      : this.with(change.kind, change.object);
  }

  #reindexed(old: Task | undefined, task: Task | undefined) {
    return {
      tasksByService: moved(this.#state.tasksByService, (each) => each.serviceID, old, task),
      tasksByNode: moved(this.#state.tasksByNode, (each) => each.nodeID, old, task),
    };
  }
}

function moved(
  index: TaskIndex,
  keyOf: (task: Task) => string | undefined,
  old: Task | undefined,
  task: Task | undefined,
): TaskIndex {
  const oldKey = old === undefined ? undefined : keyOf(old);
  const key = task === undefined ? undefined : keyOf(task);
  let result = index;
  if (old !== undefined && oldKey !== undefined && oldKey !== key) {
    const rest = result.get(oldKey)?.delete(old.id);
    result =
      rest === undefined || rest.size === 0 ? result.delete(oldKey) : result.set(oldKey, rest);
  }
  if (task !== undefined && key !== undefined) {
    result = result.set(key, (result.get(key) ?? PersistentMap.empty<Task>()).set(task.id, task));
  }
  return result;
}
