/**
 * What this node's kernel should hold, computed from the view and nothing else: the same view gives the
 * same state, in the same order. First step of desired → plan → apply.
 */
import { desiredNetwork } from "./desired-network.ts";
import { desiredRuleset } from "./desired-ruleset.ts";
import type { HostFacts } from "./facts.ts";
import type { NetworkState } from "./ip/state.ts";
import { EMPTY_NETWORK } from "./ip/state.ts";
import type { MarkLayout } from "./mark.ts";
import { markLayout } from "./mark.ts";
import { endpointsByAddress, Ways } from "./mesh.ts";
import type { Ruleset } from "./nft/ruleset.ts";
import type { MeshEndpoint, MeshView } from "./view.ts";

export interface KernelState {
  readonly ruleset: Ruleset;
  readonly network: NetworkState;
  /** The endpoints that packets are or were sent to, by address: what conntrack may have to forget. */
  readonly endpoints: ReadonlyMap<string, MeshEndpoint["state"]>;
}

export const EMPTY_STATE: KernelState = {
  ruleset: new Map(),
  network: EMPTY_NETWORK,
  endpoints: new Map(),
};

export function desired(
  view: MeshView,
  facts: HostFacts,
  mark: MarkLayout = markLayout(),
): KernelState {
  const ways = new Ways(view, facts.links);
  const endpoints = new Map<string, MeshEndpoint["state"]>();
  for (const [address, endpoint] of endpointsByAddress(view)) {
    if (ways.of(endpoint) !== undefined) endpoints.set(address, endpoint.state);
  }
  return {
    ruleset: desiredRuleset(view, ways, mark),
    network: desiredNetwork(view, ways, facts, mark),
    endpoints,
  };
}
