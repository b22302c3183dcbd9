/**
 * What of two lists of networks makes a difference: a change of one network must not cost the others. Networks that
 * are as before are taken to be the very same objects. Pure.
 */
import type { LocalNetwork, OverlayPlace } from "./desired-links.ts";

/** The networks of a node, and the node that they are seen from. */
export interface Networks {
  readonly place: OverlayPlace;
  /** In the order of their VNIs. */
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
  const [left, come, witness]: [LocalNetwork[], LocalNetwork[], LocalNetwork[]] = [[], [], []];
  for (let i = 0, j = 0; i < before.local.length || j < after.local.length; ) {
    const [was, is] = [before.local[i], after.local[j]];
    if (was !== undefined && was === is && witness.length === 0) witness.push(was);
    if (was !== undefined && (is === undefined || was.vni <= is.vni)) {
      if (was !== is) left.push(was);
      i += 1;
    }
    if (is !== undefined && (was === undefined || is.vni <= was.vni)) {
      if (was !== is) come.push(is);
      j += 1;
    }
  }
  const { place } = after;
  return { before: { place, local: left }, after: { place, local: come }, witness };
}
