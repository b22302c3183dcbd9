/** At which of its addresses a node answers a port, as far as another one can tell: what names are to lead to. Pure. */
import { EVERY_ADDRESS } from "../cluster/publish-labels.ts";
import { isWithin } from "../datapath/nft/interpret.ts";
import { addressesAt } from "../datapath/publish-places.ts";
import type { MeshNode } from "../datapath/view.ts";

/** Undefined where every address is meant. */
export function limitOf(places: readonly string[]): readonly string[] | undefined {
  return places.length === 0 || places.includes(EVERY_ADDRESS) ? undefined : places;
}

/**
 * The node's address on the underlay where all of these ports are answered there, or else those of its others where
 * they are; none where it has no such address. A port is what its service says, or undefined: then the node's default.
 */
export function answeredAt(
  node: MeshNode,
  ports: readonly (readonly string[] | undefined)[],
): readonly string[] {
  const { underlayAddress, addresses, publishDefault = [], interfaces = [] } = node;
  const byName = new Map(interfaces.map((one) => [one.name, one.addresses]));
  const limits = ports
    .map((boundTo = publishDefault) => limitOf(boundTo))
    .filter((limit) => limit !== undefined)
    .map((limit) => addressesAt(limit, byName));
  const isAnswered = (address: string) =>
    limits.every((networks) => networks.some((network) => isWithin(address, network)));
  return isAnswered(underlayAddress) ? [underlayAddress] : addresses.filter(isAnswered);
}
