/** Endpoints of one node, out of lists that are never changed in place: each is looked through once, as a node asks for its own alone. */
import type { OverlayEndpoint, OverlayNetwork } from "../datapath/overlay/view.ts";

interface Placed {
  readonly nodeIndex: number;
}

interface Found {
  readonly nodeIndex: number;
  readonly endpoints: readonly Placed[];
}

const found = new WeakMap<readonly Placed[], Found>();

/** Those of a list that the node runs. */
export function onNode<T extends Placed>(list: readonly T[], nodeIndex: number): readonly T[] {
  const known = found.get(list);
  if (known?.nodeIndex === nodeIndex) return known.endpoints as readonly T[];
  const endpoints = list.filter((one) => one.nodeIndex === nodeIndex);
  found.set(list, { nodeIndex, endpoints });
  return endpoints;
}

/** Those of a network: of its services, and the containers that a user attached. */
export function inNetworkOnNode(
  { services, containers }: OverlayNetwork,
  nodeIndex: number,
): readonly OverlayEndpoint[] {
  const own: OverlayEndpoint[] = [];
  for (const { endpoints } of services) own.push(...onNode(endpoints, nodeIndex));
  own.push(...onNode(containers, nodeIndex));
  return own;
}
