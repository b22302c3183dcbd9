/** What every object of the cluster begins with in Docker's JSON. */
import type { ObjectMeta } from "../../cluster/objects.ts";

export function encodeMeta(object: ObjectMeta & { readonly id: string }) {
  return {
    ID: object.id,
    Version: { Index: object.version.index },
    CreatedAt: object.createdAt,
    UpdatedAt: object.updatedAt,
  };
}

/** A job's iteration in the shape of a version: the first one says nothing. */
export function encodeIteration(index: number) {
  return index === 0 ? {} : { Index: index };
}
