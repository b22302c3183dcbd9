/**
 * What of two lists of networks makes a difference: a change of one network must not cost the others. Networks that
 * are as before are taken to be the very same objects. Pure.
 */
import type { LocalNetwork, OverlayPlace } from "./desired-links.ts";

/** The networks of a node, and the node that they are seen from. */
export interface Networks {
  readonly place: OverlayPlace;
  readonly local: readonly LocalNetwork[];
}

export interface NarrowedNetworks {
  readonly before: Networks;
  readonly after: Networks;
  /** One that is in both, if there is any: what is there for the sake of any network stays. */
  readonly witness: readonly LocalNetwork[];
}

/** What is not in both; all of them when the node is seen otherwise. */
export function narrow(before: Networks, after: Networks): NarrowedNetworks {
  if (before.place !== after.place) return { before, after, witness: [] };
  const found = new Set(before.local);
  const shared = new Set(after.local.filter((network) => found.has(network)));
  const changed = ({ place, local }: Networks) => ({
    place,
    local: local.filter((network) => !shared.has(network)),
  });
  return { before: changed(before), after: changed(after), witness: [...shared].slice(0, 1) };
}
