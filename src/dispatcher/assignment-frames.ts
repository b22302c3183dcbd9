/** What has changed for a node's tasks and what they read, cut into frames. Pure. */
import { create } from "@bufbuild/protobuf";
import type { TaskAssignment } from "./assignment.ts";
import { isSameAssignment, type NodePayloads } from "./assignments.ts";
import { chunksOf } from "./chunks.ts";
import { type Assignments, AssignmentsSchema } from "./gen/weft_pb.ts";
import { diffKeyed, isEmptyDelta } from "./keyed-delta.ts";
import { encodeAssignment } from "./wire-objects.ts";

/** A larger set goes in several frames, so that none comes near the largest message. A task weighs one. */
const FRAME_WEIGHT_MAX = 100;
/** So many characters of data weigh as much as a task. */
const CHARACTERS_PER_WEIGHT = 16_384;

export interface ToldAssignments extends NodePayloads {
  readonly tasks: ReadonlyMap<string, TaskAssignment>;
}

type Item =
  | { readonly kind: "secret" | "config"; readonly id: string; readonly data: string }
  | { readonly kind: "task"; readonly assignment: TaskAssignment };

/** Without `before` the complete set; no frame where nothing changed. Data comes before the tasks that read it. */
export function assignmentFrames(
  before: ToldAssignments | undefined,
  after: ToldAssignments,
): readonly Assignments[] {
  const complete = before === undefined;
  const tasks = diffKeyed(before?.tasks ?? new Map(), after.tasks, isSameAssignment);
  const secrets = diffPayloads(before?.secrets, after.secrets);
  const configs = diffPayloads(before?.configs, after.configs);
  if (!complete && [tasks, secrets, configs].every(isEmptyDelta)) return [];
  const items: readonly Item[] = [
    ...secrets.put.map(([id, data]) => ({ kind: "secret", id, data }) as const),
    ...configs.put.map(([id, data]) => ({ kind: "config", id, data }) as const),
    ...tasks.put.map((assignment) => ({ kind: "task", assignment }) as const),
  ];
  const chunks = chunksOf(items, FRAME_WEIGHT_MAX, weightOf);
  return chunks.map((chunk, at) =>
    create(AssignmentsSchema, {
      complete: complete && at === 0,
      more: at < chunks.length - 1,
      put: chunk.flatMap((item) =>
        item.kind === "task" ? [encodeAssignment(item.assignment)] : [],
      ),
      putSecrets: payloadsIn(chunk, "secret"),
      putConfigs: payloadsIn(chunk, "config"),
      ...(at === 0
        ? {
            remove: [...tasks.remove],
            removeSecrets: [...secrets.remove],
            removeConfigs: [...configs.remove],
          }
        : {}),
    }),
  );
}

/** An id's data never changes. */
function diffPayloads(
  before: ReadonlyMap<string, string> | undefined,
  after: ReadonlyMap<string, string>,
) {
  const put = [...after].filter(([id]) => before?.has(id) !== true);
  return { put, remove: [...(before?.keys() ?? [])].filter((id) => !after.has(id)) };
}

function payloadsIn(chunk: readonly Item[], kind: "secret" | "config") {
  return chunk.flatMap((item) =>
    item.kind === kind ? [{ id: item.id, data: Buffer.from(item.data, "base64") }] : [],
  );
}

function weightOf(item: Item): number {
  return item.kind === "task" ? 1 : Math.ceil(item.data.length / CHARACTERS_PER_WEIGHT);
}
