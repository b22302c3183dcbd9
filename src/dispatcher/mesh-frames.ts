/**
 * The mesh as frames. What changed for every node is compared and encoded once, however many sessions it goes to,
 * and so is what changed in one overlay network; a session adds no more than its sequence number.
 */

import { create, toBinary } from "@bufbuild/protobuf";
import type { OverlayService } from "../datapath/overlay/view.ts";
import type { ToldService } from "./assignment.ts";
import { chunksOf } from "./chunks.ts";
import { ManagerFrameSchema, MeshSchema } from "./gen/weft_pb.ts";
import { diffMesh, EMPTY_MESH, isEmptyMeshDelta, type MeshTable } from "./mesh.ts";
import {
  diffOverlay,
  type OverlayDelta,
  type OverlayTable,
  type OverlayTables,
} from "./overlays.ts";
import { encodeMeshNetwork, encodeMeshNode, encodeMeshService } from "./wire-mesh.ts";
import { encodeOverlay } from "./wire-overlay.ts";

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

type Frames = readonly Uint8Array[];

/** What a node has been told, or is to be. */
export interface ToldMesh {
  readonly mesh: MeshTable;
  /** Those of the mesh's overlays that the node takes part in. */
  readonly overlays: OverlayTables;
}

export const TOLD_NOTHING: ToldMesh = { mesh: EMPTY_MESH, overlays: new Map() };

/** What brings a node from `before` to `after`; from TOLD_NOTHING it is the complete set. Empty when they agree. */
export function meshFrames(before: ToldMesh, after: ToldMesh): Frames {
  const overlays = overlayFrames(before.overlays, after.overlays);
  if (overlays.length === 0) return commonFrames(before.mesh, after.mesh);
  const common = followedFrames(before.mesh, after.mesh);
  return [...common, ...overlays, ...lastFrame(after.mesh)];
}

const commonFrames = memoised((before: MeshTable, after: MeshTable) =>
  encodeFrames(before, after, false),
);
const followedFrames = memoised((before: MeshTable, after: MeshTable) =>
  encodeFrames(before, after, true),
);
/** An empty change, with which all that came before it counts. */
const lastFrame = (mesh: MeshTable): Frames => [
  toBinary(
    ManagerFrameSchema,
    create(ManagerFrameSchema, {
      kind: { case: "mesh", value: create(MeshSchema, { revision: BigInt(mesh.revision) }) },
    }),
  ),
];

/** Forgotten with the values, of which there is one newest and the few that slow nodes still have. */
function memoised<T extends object>(make: (before: T, after: T) => Frames) {
  const memo = new WeakMap<T, WeakMap<T, Frames>>();
  return (before: T, after: T): Frames => {
    const known = memo.get(after)?.get(before);
    if (known !== undefined) return known;
    const frames = make(before, after);
    const ofAfter = memo.get(after) ?? new WeakMap<T, Frames>();
    memo.set(after, ofAfter.set(before, frames));
    return frames;
  };
}

/** `followed`: more frames of the same set come after these. */
function encodeFrames(before: MeshTable, after: MeshTable, followed: boolean): Frames {
  const complete = before === EMPTY_MESH;
  const delta = diffMesh(before, after);
  if (!complete && isEmptyMeshDelta(delta)) return [];
  const { network, nodes, services } = delta;
  const chunks = chunksOf(services.put, WEIGHT_PER_FRAME_MAX, weightOf);
  return chunks.map((chunk, at) => {
    const isFirst = at === 0;
    const value = create(MeshSchema, {
      complete: complete && isFirst,
      more: followed || at < chunks.length - 1,
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

function overlayFrames(before: OverlayTables, after: OverlayTables): Frames {
  const frames: Uint8Array[] = [];
  for (const networkID of before.keys()) {
    if (!after.has(networkID))
      frames.push(...encodeDelta(diffOverlay(networkID, before.get(networkID), undefined)));
  }
  for (const [networkID, table] of after) {
    frames.push(...oneOverlayFrames(before.get(networkID) ?? NO_TABLE, table));
  }
  return frames;
}

/** Stands for what a node knows of a network that it was never told of. */
const NO_TABLE: OverlayTable = {
  head: { networkID: "", name: "", vni: 0, subnets: [], internal: false },
  services: new Map(),
  containers: new Map(),
};

const oneOverlayFrames = memoised((before: OverlayTable, after: OverlayTable) =>
  before === after
    ? []
    : encodeDelta(
        diffOverlay(after.head.networkID, before === NO_TABLE ? undefined : before, after),
      ),
);

function encodeDelta(delta: OverlayDelta | undefined): Frames {
  if (delta === undefined) return [];
  const chunks = chunksOf(
    [
      ...delta.services.put.map((service) => ({ service })),
      ...delta.containers.put.map((container) => ({ container })),
    ],
    WEIGHT_PER_FRAME_MAX,
    (item) => ("service" in item ? weightOf(item.service) : 1),
  );
  return chunks.map((chunk, at) => {
    const services = chunk.flatMap((item) => ("service" in item ? [item.service] : []));
    const containers = chunk.flatMap((item) => ("container" in item ? [item.container] : []));
    const { head: _head, ...rest } = delta;
    const part =
      at === 0
        ? {
            ...delta,
            services: { put: services, remove: delta.services.remove },
            containers: { put: containers, remove: delta.containers.remove },
          }
        : {
            ...rest,
            complete: false,
            services: { put: services, remove: [] },
            containers: { put: containers, remove: [] },
          };
    return toBinary(
      ManagerFrameSchema,
      create(ManagerFrameSchema, { kind: { case: "overlay", value: encodeOverlay(part) } }),
    );
  });
}

function weightOf(service: ToldService | OverlayService): number {
  const published = "published" in service ? (service.published?.length ?? 0) : 0;
  return 1 + service.endpoints.length + published;
}
