/** A view on a line of JSON: the set of held ports as a list. */
import type { MeshView } from "../../../src/datapath/view.ts";

export function viewToJSON(view: MeshView): unknown {
  return { ...view, heldPorts: [...view.heldPorts] };
}

/** The other end is `viewToJSON` of the same test run, so its shape is believed. */
export function viewFromJSON(value: unknown): MeshView {
  const view = value as Omit<MeshView, "heldPorts"> & { heldPorts: string[] };
  return { ...view, heldPorts: new Set(view.heldPorts) };
}
