/**
 * The manager's end of one node's session: what the node has been told, and telling it the difference.
 * It decides nothing; the dispatcher does.
 */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { ServerDuplexStream } from "@grpc/grpc-js";
import { newID } from "../base/ids.ts";
import type { NodeRole } from "../cluster/objects.ts";
import type { MeshService } from "../datapath/view.ts";
import type { LogSubscription, TaskAssignment } from "./assignment.ts";
import { isSameAssignment } from "./assignments.ts";
import {
  type AgentFrame,
  AssignmentsSchema,
  type HeartbeatAnswerSchema,
  type ManagerFrame,
  ManagerFrameSchema,
  type ManagerSchema,
  MeshSchema,
} from "./gen/weft_pb.ts";
import { diffKeyed, isEmptyDelta } from "./keyed-delta.ts";
import { diffMesh, EMPTY_MESH, isEmptyMeshDelta, type MeshTable } from "./mesh.ts";
import { toGrpcError } from "./rpc.ts";
import { encodeMeshNetwork, encodeMeshNode, encodeMeshService } from "./wire-mesh.ts";
import { encodeAssignment, encodeSubscription } from "./wire-objects.ts";

export type SessionStream = ServerDuplexStream<AgentFrame, ManagerFrame>;

/** A set larger than these goes in several frames, so that none comes near the largest message. */
const ASSIGNMENTS_PER_FRAME_MAX = 100;
const MESH_WEIGHT_PER_FRAME_MAX = 2_000;
/** Frames that a node has not read; beyond this its session ends, as it would not miss them. */
const UNREAD_FRAMES_MAX = 1_024;

type Kind = NonNullable<MessageInitShape<typeof ManagerFrameSchema>["kind"]>;
export type HeartbeatAnswer = MessageInitShape<typeof HeartbeatAnswerSchema>;
export type ManagerAddress = MessageInitShape<typeof ManagerSchema>;

export interface NodeSessionInit {
  readonly nodeID: string;
  /** Destroys the connection that the stream is on. */
  readonly cutConnection: () => void;
  /** A node that was slow to read can be told what it missed. */
  readonly onWritable: () => void;
}

export class NodeSession {
  readonly id: string = newID();
  readonly nodeID: string;
  /** The endpoint revision that the node's kernel has confirmed in this session. */
  applied = 0;
  readonly #stream: SessionStream;
  readonly #cutConnection: () => void;
  readonly #onWritable: () => void;
  #mesh: MeshTable | undefined;
  #meshSequence = 0;
  #assignments: ReadonlyMap<string, TaskAssignment> | undefined;
  #assignmentsSequence = 0;
  #blocked = false;
  #ended = false;

  constructor(stream: SessionStream, init: NodeSessionInit) {
    this.#stream = stream;
    this.nodeID = init.nodeID;
    this.#cutConnection = init.cutConnection;
    this.#onWritable = init.onWritable;
    stream.on("drain", () => {
      if (!this.#blocked) return;
      this.#blocked = false;
      this.#onWritable();
    });
  }

  welcome(role: NodeRole, managers: readonly ManagerAddress[], heartbeat: HeartbeatAnswer): void {
    const value = {
      sessionId: this.id,
      role,
      managers: { managers: [...managers] },
      heartbeat,
    };
    this.#send({ case: "welcome", value });
  }

  answerHeartbeat(value: HeartbeatAnswer): void {
    this.#send({ case: "heartbeat", value });
  }

  acknowledge(sequence: number): void {
    this.#send({ case: "ack", value: { sequence } });
  }

  setRole(role: NodeRole): void {
    this.#send({ case: "role", value: { role } });
  }

  setManagers(managers: readonly ManagerAddress[]): void {
    this.#send({ case: "managers", value: { managers: [...managers] } });
  }

  subscribeLogs(subscription: LogSubscription): void {
    this.#send({ case: "subscribeLogs", value: encodeSubscription(subscription) });
  }

  unsubscribeLogs(subscriptionId: string): void {
    this.#send({ case: "unsubscribeLogs", value: { subscriptionId } });
  }

  /** The node missed something: the next sync sends the complete sets. */
  forgetSent(): void {
    this.#mesh = undefined;
    this.#assignments = undefined;
    this.applied = 0;
  }

  /** The cluster does not know this node: it is told so, and the stream ends. */
  remove(reason: string): void {
    this.#send({ case: "removed", value: { reason } });
    this.end();
  }

  /** Its stream is over; nothing more is written to it. */
  markEnded(): void {
    this.#ended = true;
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stream.end();
  }

  /** Ends it with an error, after which the node comes again. */
  fail(error: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stream.emit("error", toGrpcError(error));
  }

  /** Drops the connection: the node does not answer, or does not read, or has a newer one. */
  cut(): void {
    this.#ended = true;
    this.#cutConnection();
  }

  /** Tells the node what of the mesh it has not been told. One that reads slowly is told the newest when it has caught up. */
  syncMesh(mesh: MeshTable): void {
    if (this.#blocked || this.#ended || this.#mesh === mesh) return;
    const complete = this.#mesh === undefined;
    const delta = diffMesh(this.#mesh ?? EMPTY_MESH, mesh);
    this.#mesh = mesh;
    if (!complete && isEmptyMeshDelta(delta)) return;
    const { network, nodes, services } = delta;
    const chunks = chunksOf(services.put, MESH_WEIGHT_PER_FRAME_MAX, weightOfService);
    chunks.forEach((chunk, at) => {
      const isFirst = at === 0;
      const value = create(MeshSchema, {
        sequence: ++this.#meshSequence,
        complete: complete && isFirst,
        more: at < chunks.length - 1,
        revision: BigInt(delta.revision),
        networkRemoved: network === null,
        putNodes: isFirst ? nodes.put.map(encodeMeshNode) : [],
        removeNodes: isFirst ? [...nodes.remove] : [],
        putServices: chunk.map(encodeMeshService),
        removeServices: isFirst ? [...services.remove] : [],
      });
      if (network !== undefined && network !== null) value.network = encodeMeshNetwork(network);
      this.#send({ case: "mesh", value });
    });
  }

  /** The same for its tasks. Called after `syncMesh`, so that no endpoint stops before the node was told. */
  syncAssignments(assignments: ReadonlyMap<string, TaskAssignment>): void {
    if (this.#blocked || this.#ended) return;
    const complete = this.#assignments === undefined;
    const delta = diffKeyed(this.#assignments ?? new Map(), assignments, isSameAssignment);
    this.#assignments = assignments;
    if (!complete && isEmptyDelta(delta)) return;
    const chunks = chunksOf(delta.put, ASSIGNMENTS_PER_FRAME_MAX, () => 1);
    chunks.forEach((chunk, at) => {
      const isFirst = at === 0;
      const value = create(AssignmentsSchema, {
        sequence: ++this.#assignmentsSequence,
        complete: complete && isFirst,
        more: at < chunks.length - 1,
        put: chunk.map(encodeAssignment),
        remove: isFirst ? [...delta.remove] : [],
      });
      this.#send({ case: "assignments", value });
    });
  }

  #send(kind: Kind): void {
    if (this.#ended) return;
    if (this.#stream.writableLength > UNREAD_FRAMES_MAX) {
      this.cut();
      return;
    }
    if (!this.#stream.write(create(ManagerFrameSchema, { kind }))) this.#blocked = true;
  }
}

function weightOfService(service: MeshService): number {
  return 1 + service.endpoints.length;
}

/** At least one chunk, so that an empty set is said too. */
function chunksOf<T>(
  items: readonly T[],
  weightMax: number,
  weightOf: (item: T) => number,
): readonly (readonly T[])[] {
  const chunks: T[][] = [[]];
  let weight = 0;
  for (const item of items) {
    weight += weightOf(item);
    if (weight > weightMax && chunks.at(-1)?.length !== 0) {
      chunks.push([]);
      weight = weightOf(item);
    }
    chunks.at(-1)?.push(item);
  }
  return chunks;
}
