/**
 * What this node's kernel should hold, computed from the view and nothing else: the same view gives the
 * same state, in the same order. First step of desired → plan → apply.
 */
import { desiredNetwork } from "./desired-network.ts";
import { desiredRuleset } from "./desired-ruleset.ts";
import type { HostFacts } from "./facts.ts";
import type { NetworkState } from "./ip/state.ts";
import { EMPTY_NETWORK } from "./ip/state.ts";
import { ipv6Of } from "./ipv6.ts";
import type { MarkLayout } from "./mark.ts";
import { markLayout } from "./mark.ts";
import { endpointsByAddress, Ways } from "./mesh.ts";
import type { Ruleset } from "./nft/ruleset.ts";
import { atAddresses } from "./publish-places.ts";
import type { MeshEndpoint, MeshView } from "./view.ts";

export interface KernelState {
  readonly ruleset: Ruleset;
  readonly network: NetworkState;
  /** The endpoints that packets are or were sent to, by address, IPv4 and IPv6: what conntrack may have to forget. */
  readonly endpoints: ReadonlyMap<string, MeshEndpoint["state"]>;
}

export const EMPTY_STATE: KernelState = {
  ruleset: new Map(),
  network: EMPTY_NETWORK,
  endpoints: new Map(),
};

export function desired(
  told: MeshView,
  facts: HostFacts,
  mark: MarkLayout = markLayout(),
): KernelState {
  const placed = atAddresses(told, facts.interfaces);
  const view = facts.ipv6 ? placed : withoutIPv6(placed);
  const ways = new Ways(view, facts.links);
  const endpoints = new Map<string, MeshEndpoint["state"]>();
  for (const [address, endpoint] of endpointsByAddress(view)) {
    if (ways.of(endpoint) === undefined) continue;
    endpoints.set(address, endpoint.state);
    if (view.subnet6 === undefined || endpoint.ipv6Ports === undefined) continue;
    endpoints.set(ipv6Of(view.subnet6, view.subnet, address), endpoint.state);
  }
  return {
    ruleset: desiredRuleset(view, ways, {
      mark,
      isRouter6: view.subnet6 === undefined || !facts.isOurForwarding6,
      filtersPaths6: facts.filtersPaths6,
    }),
    network: desiredNetwork(view, ways, facts, mark),
    endpoints,
  };
}

function withoutIPv6({ subnet6: _none, ...view }: MeshView): MeshView {
  return view;
}
