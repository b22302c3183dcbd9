/**
 * The cluster's happenings in the shape of Docker's events. The store tells each commit; this keeps the last
 * ones for `--since` and hands new ones to whoever listens.
 */
import type { Node, Service } from "../cluster/objects.ts";
import type { Change, Store } from "../cluster/store.ts";
import type { NodeBackend } from "./backend.ts";

/** Older events are forgotten; Docker's own Engine remembers as many. */
const MAX_REMEMBERED_EVENTS = 256;

/** What an event tells beside its object's id. */
type Attributes = Readonly<Record<string, string>>;

/** One event as it goes over the wire. */
export interface ClusterEvent {
  readonly Type: "service" | "node" | "network" | "secret" | "config";
  readonly Action: "create" | "update" | "remove";
  readonly Actor: { readonly ID: string; readonly Attributes: Attributes };
  readonly scope: "swarm";
  /** Seconds since the epoch. */
  readonly time: number;
  readonly timeNano: number;
}

export class ClusterEvents {
  readonly #backend: NodeBackend;
  readonly #listeners = new Set<(event: ClusterEvent) => void>();
  #remembered: readonly ClusterEvent[] = [];
  #store: Store | undefined;
  #unsubscribe: (() => void) | undefined;

  constructor(backend: NodeBackend) {
    this.#backend = backend;
  }

  /** Follows the store that the node has now: a node becomes a manager, and ceases to be one, while the API runs. */
  follow(): void {
    const store = this.#backend.manager()?.store;
    if (store === this.#store) return;
    this.#unsubscribe?.();
    this.#store = store;
    this.#unsubscribe = store?.subscribe(({ changes }) => {
      for (const change of changes) this.#publish(change);
    });
  }

  /** The events that are remembered, oldest first. */
  remembered(): readonly ClusterEvent[] {
    return this.#remembered;
  }

  /** Calls `listener` with each event from now on; returns the unsubscribe function. */
  subscribe(listener: (event: ClusterEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  stop(): void {
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
    this.#store = undefined;
  }

  #publish(change: Change): void {
    for (const event of eventsOf(change)) {
      this.#remembered = [...this.#remembered, event].slice(-MAX_REMEMBERED_EVENTS);
      for (const listener of this.#listeners) listener(event);
    }
  }
}

/**
 * What Docker tells of a change. Its managers make a network and then give it its numbers, which they tell as an
 * update: whoever waits for that waits here too, where both are one change.
 */
export function eventsOf(change: Change): readonly ClusterEvent[] {
  const event = eventOf(change);
  if (event === undefined) return [];
  if (change.kind !== "network" || change.action !== "create") return [event];
  return [event, { ...event, Action: "update" }];
}

/** Docker's wording of a change; undefined for what Docker tells nobody. */
function eventOf(change: Change): ClusterEvent | undefined {
  switch (change.kind) {
    case "service": {
      const old = change.action === "update" ? change.old : undefined;
      const name = change.object.spec.name;
      return message(change, "service", { ...serviceChanges(old, change.object), name });
    }
    case "node": {
      const old = change.action === "update" ? change.old : undefined;
      const name = change.object.spec.name ?? change.object.description?.hostname ?? "";
      return message(change, "node", { ...nodeChanges(old, change.object), name });
    }
    case "network":
    case "secret":
    case "config":
      return message(change, change.kind, { name: change.object.spec.name });
    case "cluster":
    case "task":
    case "attachment":
      return undefined;
  }
}

function message(change: Change, type: ClusterEvent["Type"], attributes: Attributes): ClusterEvent {
  const { object, action } = change;
  const at = action === "create" ? object.createdAt : object.updatedAt;
  const milliseconds = Date.parse(at);
  return {
    Type: type,
    Action: action,
    Actor: { ID: object.id, Attributes: attributes },
    scope: "swarm",
    time: Math.floor(milliseconds / 1_000),
    timeNano: milliseconds * 1_000_000,
  };
}

function serviceChanges(old: Service | undefined, service: Service): Attributes {
  if (old === undefined) return {};
  return {
    ...difference("replicas", replicasOf(old), replicasOf(service)),
    ...difference("image", imageOf(old), imageOf(service)),
    ...difference("updatestate", old.updateStatus?.state, service.updateStatus?.state),
  };
}

function nodeChanges(old: Node | undefined, node: Node): Attributes {
  if (old === undefined) return {};
  return {
    ...difference("availability", old.spec.availability, node.spec.availability),
    ...difference("role", old.spec.role, node.spec.role),
    ...difference("state", old.status.state, node.status.state),
    ...difference("leader", flag(old), flag(node)),
  };
}

function difference(name: string, before: string | undefined, after: string | undefined) {
  if (before === after) return {};
  return {
    ...(after === undefined ? {} : { [`${name}.new`]: after }),
    ...(before === undefined ? {} : { [`${name}.old`]: before }),
  };
}

function replicasOf(service: Service): string | undefined {
  return service.spec.mode.replicated?.replicas.toString();
}

function imageOf(service: Service): string {
  return service.spec.taskTemplate.containerSpec.image;
}

function flag(node: Node): string {
  return String(node.managerStatus?.leader ?? false);
}
