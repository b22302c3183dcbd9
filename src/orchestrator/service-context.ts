/** What every step of planning one service knows: the service, the nodes, and the time. */

import { type NodeID, newID } from "../base/ids.ts";
import type { Node, Orchestration, Service, Task } from "../cluster/objects.ts";
import type { Delays, Moment } from "./delays.ts";

/** A step takes the service's tasks and answers with them as they should be; it puts nothing anywhere. */
export type Step = (context: ServiceContext, tasks: readonly Task[]) => readonly Task[];

export interface ServiceContext {
  readonly service: Service;
  readonly nodes: ReadonlyMap<string, Node>;
  readonly deadlines: Deadlines;
  /** The version that the service's spec gets if the plan changes it. */
  readonly nextVersion: number;
}

/** The moment of planning, and the earliest one at which the plan could be another although nothing happened. */
export class Deadlines {
  readonly nowMs: number;
  readonly #moment: Moment;
  readonly #delays: Delays;
  #nextMs: number | undefined;

  constructor(moment: Moment, delays: Delays) {
    this.nowMs = moment.nowMs;
    this.#moment = moment;
    this.#delays = delays;
  }

  get now(): string {
    return new Date(this.nowMs).toISOString();
  }

  /** When to plan again, by the monotonic clock; undefined when only an event can change anything. */
  get nextMs(): number | undefined {
    return this.#nextMs;
  }

  /** Whether so long has passed since this time of the object's; if not, planning happens again then. */
  reached(id: string, timeMs: number, delayMs: number): boolean {
    const atMs = this.#delays.since(id, timeMs, this.#moment) + delayMs;
    if (atMs <= this.#moment.monotonicMs) return true;
    this.#nextMs = Math.min(this.#nextMs ?? atMs, atMs);
    return false;
  }
}

/** Where a task of the service belongs: one of its replicas, or one of its nodes. */
export type Place = { readonly slot: number } | { readonly nodeID: NodeID };

/** A task made from the service as it is now. The store gives it its version and times. */
export function newTask(
  { service, deadlines }: ServiceContext,
  place: Place,
  init: { readonly desiredState: "ready" | "running"; readonly orchestration?: Orchestration },
): Task {
  return {
    id: newID(),
    version: { index: 0 },
    createdAt: deadlines.now,
    updatedAt: deadlines.now,
    serviceID: service.id,
    ...place,
    ...(service.jobStatus === undefined ? {} : { jobIteration: service.jobStatus.jobIteration }),
    spec: service.spec.taskTemplate,
    specVersion: service.specVersion,
    serviceAnnotations: { name: service.spec.name, labels: service.spec.labels },
    status: { timestamp: deadlines.now, state: "new", message: "created" },
    networksAttachments: [],
    ...init,
  };
}
