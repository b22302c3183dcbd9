/**
 * The manager's end of one node's session: what the node has been told, and telling it the difference.
 * It decides nothing; the dispatcher does.
 */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { ServerDuplexStream } from "@grpc/grpc-js";
import { newID } from "../base/ids.ts";
import type { Network, NodeRole } from "../cluster/objects.ts";
import type { TraceQuestion } from "../datapath/host-trace.ts";
import type { LogSubscription, TaskAssignment } from "./assignment.ts";
import { assignmentFrames, type ToldAssignments } from "./assignment-frames.ts";
import type { NodePayloads } from "./assignments.ts";
import type { AttachedInit } from "./attachments.ts";
import {
  type AgentFrame,
  type HeartbeatAnswerSchema,
  type ManagerFrame,
  ManagerFrameSchema,
  type ManagerSchema,
  type TrustSchema,
} from "./gen/weft_pb.ts";
import type { MeshTable } from "./mesh.ts";
import { meshFrames, PreparedFrame, TOLD_NOTHING, type ToldMesh } from "./mesh-frames.ts";
import type { OverlayTable } from "./overlays.ts";
import { toGrpcError } from "./rpc.ts";
import { encodeNetwork, encodeSubscription } from "./wire-objects.ts";

export type SessionStream = ServerDuplexStream<AgentFrame, ManagerFrame | PreparedFrame>;

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
  /** Overlay networks that the node takes part in; the dispatcher's to set. */
  overlayIDs: ReadonlySet<string> = new Set();
  /** The generation of the gossip's keys that the node has said to have installed. */
  keysInstalled = 0;
  /** Reports taken and not yet acknowledged. */
  unacknowledged = 0;
  readonly #stream: SessionStream;
  readonly #cutConnection: () => void;
  readonly #onWritable: () => void;
  #told: ToldMesh | undefined;
  /** The revision of the last mesh that it was told something of; later ones said nothing to it. */
  #toldRevision = 0;
  #meshSequence = 0;
  #assignments: ToldAssignments | undefined;
  #assignmentsSequence = 0;
  #toldNetworks: string | undefined;
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
    this.unacknowledged -= 1;
    this.#send({ case: "ack", value: { sequence } });
  }

  setRole(role: NodeRole): void {
    this.#send({ case: "role", value: { role } });
  }

  setGossipKeys(keys: readonly Uint8Array[], generation: number): void {
    this.#send({ case: "gossipKeys", value: { keys: [...keys], generation } });
  }

  setTrust(value: MessageInitShape<typeof TrustSchema>): void {
    this.#send({ case: "trust", value });
  }

  /** Tells the networks that the node shows; nothing when it was told the same. */
  syncNetworks(networks: readonly Network[]): void {
    const key = networks.map(({ id, version }) => `${id}@${version.index}`).join();
    if (key === this.#toldNetworks) return;
    this.#toldNetworks = key;
    this.#send({ case: "networks", value: { networks: networks.map(encodeNetwork) } });
  }

  setManagers(managers: readonly ManagerAddress[]): void {
    this.#send({ case: "managers", value: { managers: [...managers] } });
  }

  subscribeLogs(subscription: LogSubscription): void {
    this.#send({ case: "subscribeLogs", value: encodeSubscription(subscription) });
  }

  askKernelMesh(question: number): void {
    this.#send({ case: "askKernelMesh", value: { question } });
  }

  askTrace(question: number, packet: TraceQuestion): void {
    const value = { question, packet: Buffer.from(JSON.stringify(packet)) };
    this.#send({ case: "askTrace", value });
  }

  answerAttach(value: AttachedInit): void {
    this.#send({ case: "attached", value });
  }

  unsubscribeLogs(subscriptionId: string): void {
    this.#send({ case: "unsubscribeLogs", value: { subscriptionId } });
  }

  /** The node missed something: the next sync sends the complete sets. */
  forgetSent(): void {
    this.#told = undefined;
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
    if (this.#blocked || this.#ended) return;
    const overlays = this.#overlaysOf(mesh);
    const frames = meshFrames(this.#told ?? TOLD_NOTHING, { mesh, overlays });
    this.#told = { mesh, overlays };
    if (frames.length > 0) this.#toldRevision = mesh.revision;
    for (const kind of frames) this.#write(new PreparedFrame(kind, ++this.#meshSequence));
  }

  /** The newest mesh that its kernel has: one in which nothing concerned it needs no word of the node's. */
  get confirmed(): number {
    const hasAll = this.#told !== undefined && this.applied >= this.#toldRevision;
    return hasAll ? Math.max(this.applied, this.#told?.mesh.revision ?? 0) : this.applied;
  }

  #overlaysOf(mesh: MeshTable): ReadonlyMap<string, OverlayTable> {
    const overlays = new Map<string, OverlayTable>();
    for (const networkID of this.overlayIDs) {
      const table = mesh.overlays.tables.get(networkID);
      if (table !== undefined) overlays.set(networkID, table);
    }
    return overlays;
  }

  /** The same for its tasks. Called after `syncMesh`, so that no endpoint stops before the node was told. */
  syncAssignments(tasks: ReadonlyMap<string, TaskAssignment>, payloads: NodePayloads): void {
    if (this.#blocked || this.#ended) return;
    const frames = assignmentFrames(this.#assignments, { tasks, ...payloads });
    this.#assignments = { tasks, ...payloads };
    for (const value of frames) {
      const sequence = ++this.#assignmentsSequence;
      this.#write(create(ManagerFrameSchema, { kind: { case: "assignments", value }, sequence }));
    }
  }

  #send(kind: Kind): void {
    this.#write(create(ManagerFrameSchema, { kind }));
  }

  #write(frame: ManagerFrame | PreparedFrame): void {
    if (this.#ended) return;
    if (this.#stream.writableLength > UNREAD_FRAMES_MAX) this.cut();
    else if (!this.#stream.write(frame)) this.#blocked = true;
  }
}
