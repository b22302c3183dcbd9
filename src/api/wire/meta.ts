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
