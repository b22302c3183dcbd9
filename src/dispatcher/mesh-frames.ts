/**
 * The mesh as frames. A change is the same for every node, so it is compared and encoded once, however many
 * sessions it goes to; a session adds no more than its sequence number.
 */
import { create, toBinary } from "@bufbuild/protobuf";
import type { MeshService } from "../datapath/view.ts";
import { chunksOf } from "./chunks.ts";
import { ManagerFrameSchema, MeshSchema } from "./gen/weft_pb.ts";
import { diffMesh, EMPTY_MESH, isEmptyMeshDelta, type MeshTable } from "./mesh.ts";
import { encodeMeshNetwork, encodeMeshNode, encodeMeshService } from "./wire-mesh.ts";

/** Services and endpoints in one frame: some 200 kB, far from the largest message. */
const WEIGHT_PER_FRAME_MAX = 2_000;

/** A ManagerFrame of which everything but the sequence number is encoded already. */
export class PreparedFrame {
  readonly #kind: Uint8Array;
  readonly #sequence: number;

  constructor(kind: Uint8Array, sequence: number) {
    this.#kind = kind;
    this.#sequence = sequence;
  }

  /** Fields of a message may come in any order, so that bytes of two parts make the whole. */
  encode(): Buffer {
    const sequence = create(ManagerFrameSchema, { sequence: this.#sequence });
    return Buffer.concat([this.#kind, toBinary(ManagerFrameSchema, sequence)]);
  }
}

/** Forgotten with the tables, of which there is one newest and the few that slow nodes still have. */
const memo = new WeakMap<MeshTable, WeakMap<MeshTable, readonly Uint8Array[]>>();

/** What brings a node from `before` to `after`; from EMPTY_MESH it is the complete set. Empty when they agree. */
export function meshFrames(before: MeshTable, after: MeshTable): readonly Uint8Array[] {
  const known = memo.get(after)?.get(before);
  if (known !== undefined) return known;
  const frames = encodeFrames(before, after);
  const ofAfter = memo.get(after) ?? new WeakMap<MeshTable, readonly Uint8Array[]>();
  memo.set(after, ofAfter.set(before, frames));
  return frames;
}

function encodeFrames(before: MeshTable, after: MeshTable): readonly Uint8Array[] {
  const complete = before === EMPTY_MESH;
  const delta = diffMesh(before, after);
  if (!complete && isEmptyMeshDelta(delta)) return [];
  const { network, nodes, services } = delta;
  const chunks = chunksOf(services.put, WEIGHT_PER_FRAME_MAX, weightOf);
  return chunks.map((chunk, at) => {
    const isFirst = at === 0;
    const value = create(MeshSchema, {
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
    return toBinary(
      ManagerFrameSchema,
      create(ManagerFrameSchema, { kind: { case: "mesh", value } }),
    );
  });
}

function weightOf(service: MeshService): number {
  return 1 + service.endpoints.length + (service.published?.length ?? 0);
}
