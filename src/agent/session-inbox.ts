/**
 * What a node has been told in this session, put together from frames: complete sets first, then changes,
 * in sequence. Pure.
 */
import type { NodeRole } from "../cluster/objects.ts";
import type { MeshConfig, Payloads, TaskAssignment } from "../dispatcher/assignment.ts";
import { mustStop, NO_PAYLOADS } from "../dispatcher/assignment.ts";
import type { Assignments, Mesh, Overlay, Payload } from "../dispatcher/gen/weft_pb.ts";
import { applyDelta } from "../dispatcher/keyed-delta.ts";
import { EMPTY_MESH, type MeshTable, meshConfigOf } from "../dispatcher/mesh.ts";
import type { OverlayTable } from "../dispatcher/overlays.ts";
import { decodeMeshNetwork, decodeMeshNode, decodeMeshService } from "../dispatcher/wire-mesh.ts";
import { decodeAssignment } from "../dispatcher/wire-objects.ts";
import { applyOverlay } from "../dispatcher/wire-overlay.ts";

/** `gap`: a frame is missing, ask for the complete sets. `partial`: the set goes on in the next frame. */
export type Received<T> =
  | { readonly kind: "gap" }
  | { readonly kind: "partial" }
  | { readonly kind: "set"; readonly value: T };

const GAP = { kind: "gap" } as const;
const PARTIAL = { kind: "partial" } as const;

/** A node's tasks and what they read. */
export interface ReceivedTasks {
  readonly tasks: readonly TaskAssignment[];
  readonly payloads: Payloads;
}

export class AssignmentsInbox {
  readonly #order = new FrameOrder();
  #set: ReadonlyMap<string, TaskAssignment> = new Map();
  #payloads = NO_PAYLOADS;
  /** Over all sessions: a task that was told to stop is never called back, whatever a manager forgot. */
  #told: ReadonlyMap<string, TaskAssignment> = new Map();

  /** A new session begins. */
  restart(): void {
    this.#order.restart();
  }

  receive(frame: Assignments, sequence: number): Received<ReceivedTasks> {
    const order = this.#order.check(sequence, frame.complete);
    if (order !== "next") return order === "gap" ? GAP : PARTIAL;
    const put = frame.put.map(decodeAssignment).map((next) => this.#withoutWayBack(next));
    const before = frame.complete ? new Map<string, TaskAssignment>() : this.#set;
    this.#set = applyDelta(before, { put, remove: frame.remove }, ({ task }) => task.id);
    const known = frame.complete ? NO_PAYLOADS : this.#payloads;
    this.#payloads = {
      secrets: withPayloads(known.secrets, frame.putSecrets, frame.removeSecrets),
      configs: withPayloads(known.configs, frame.putConfigs, frame.removeConfigs),
    };
    if (frame.more) return PARTIAL;
    this.#told = this.#set;
    return { kind: "set", value: { tasks: [...this.#set.values()], payloads: this.#payloads } };
  }

  #withoutWayBack(next: TaskAssignment): TaskAssignment {
    const before = this.#told.get(next.task.id)?.task.desiredState;
    const isWayBack = before !== undefined && mustStop(before) && !mustStop(next.task.desiredState);
    return isWayBack ? { ...next, task: { ...next.task, desiredState: before } } : next;
  }
}

export class MeshInbox {
  readonly #order = new FrameOrder();
  #table: MeshTable = EMPTY_MESH;

  restart(): void {
    this.#order.restart();
  }

  receive(frame: Mesh, sequence: number): Received<MeshConfig> {
    const order = this.#order.check(sequence, frame.complete);
    if (order !== "next") return order === "gap" ? GAP : PARTIAL;
    const before = frame.complete ? EMPTY_MESH : this.#table;
    this.#table = {
      revision: Number(frame.revision),
      network:
        frame.network !== undefined
          ? decodeMeshNetwork(frame.network)
          : frame.networkRemoved
            ? undefined
            : before.network,
      nodes: applyDelta(
        before.nodes,
        { put: frame.putNodes.map(decodeMeshNode), remove: frame.removeNodes },
        ({ nodeID }) => nodeID,
      ),
      services: applyDelta(
        before.services,
        { put: frame.putServices.map(decodeMeshService), remove: frame.removeServices },
        ({ serviceID }) => serviceID,
      ),
      overlays: before.overlays,
    };
    return frame.more ? PARTIAL : { kind: "set", value: meshConfigOf(this.#table) };
  }

  /** Part of a set whose last frame is one of the mesh. */
  receiveOverlay(frame: Overlay, sequence: number): Received<MeshConfig> {
    const order = this.#order.check(sequence, false);
    if (order !== "next") return order === "gap" ? GAP : PARTIAL;
    const { overlays } = this.#table;
    const tables = withOverlay(overlays.tables, frame);
    this.#table = { ...this.#table, overlays: { ...overlays, tables } };
    return PARTIAL;
  }
}

function withOverlay(
  before: ReadonlyMap<string, OverlayTable>,
  frame: Overlay,
): ReadonlyMap<string, OverlayTable> {
  const after = new Map(before);
  const table = applyOverlay(before.get(frame.networkId), frame);
  if (table === undefined) after.delete(frame.networkId);
  else after.set(frame.networkId, table);
  return after;
}

function withPayloads(
  before: ReadonlyMap<string, Uint8Array>,
  put: readonly Payload[],
  remove: readonly string[],
): ReadonlyMap<string, Uint8Array> {
  if (put.length + remove.length === 0) return before;
  const after = new Map(before);
  for (const id of remove) after.delete(id);
  for (const { id, data } of put) after.set(id, data);
  return after;
}

export function decodeRole(text: string): NodeRole {
  return text === "manager" ? "manager" : "worker";
}

/** Changes count up by one and need a set to change; a complete set may come at any number. */
class FrameOrder {
  #last = 0;
  #hasBase = false;
  #isAsked = false;

  restart(): void {
    this.#hasBase = false;
    this.#isAsked = false;
  }

  /** `gap` once, then `waiting` until the complete set has come that the gap made us ask for. */
  check(sequence: number, complete: boolean): "next" | "gap" | "waiting" {
    if (complete || (this.#hasBase && sequence === this.#last + 1)) {
      this.#hasBase = true;
      this.#isAsked = false;
      this.#last = sequence;
      return "next";
    }
    const isFirst = !this.#isAsked;
    this.#hasBase = false;
    this.#isAsked = true;
    return isFirst ? "gap" : "waiting";
  }
}
