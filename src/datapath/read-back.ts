/** Reads everything of Weft's back from the kernel, in the shape that plans compare. */
import type { KernelState } from "./desired.ts";
import {
  acceptRA,
  disableIPv6,
  SYSCTL_COUNT_FLOWS,
  SYSCTL_IP_FORWARD,
  SYSCTL_IP6_FORWARD,
} from "./facts.ts";
import { type HostListing, listHost } from "./ip/host-listing.ts";
import { decodeNetwork, type NetworkReading } from "./ip/read.ts";
import type { NetworkState } from "./ip/state.ts";
import { isUplinkName } from "./ipv6-host.ts";
import { EGRESS_TABLE, LINK, NOWHERE6, TABLE, TASK_LINK_PREFIX } from "./names.ts";
import { decodeTable } from "./nft/decode.ts";
import type { Nft } from "./nft/nft.ts";
import type { Ruleset, Table } from "./nft/ruleset.ts";
import type { RunTool } from "./run.ts";
import { readSysctls } from "./sysctl.ts";

export interface KernelReading extends Omit<NetworkReading, "state"> {
  readonly state: KernelState;
  /** What the links' part of it was read from. */
  readonly listing: HostListing;
}

export async function readKernel(nft: Nft, run: RunTool): Promise<KernelReading> {
  const [listing, ruleset] = await Promise.all([listHost(run), readRuleset(nft)]);
  const { state, ...host } = decodeNetwork(listing);
  const sysctls = readSysctls([
    SYSCTL_IP_FORWARD,
    SYSCTL_IP6_FORWARD,
    SYSCTL_COUNT_FLOWS,
    ...[...host.links].filter(isOurs).flatMap(settingsOf),
    ...[...host.links].filter(isUplinkName).map(acceptRA),
  ]);
  const network = { ...state, sysctls };
  return { ...host, listing, state: { ruleset, network, endpoints: endpointsOf(network) } };
}

async function readRuleset(nft: Nft): Promise<Ruleset> {
  const tables = new Map<string, Table>();
  for (const name of [TABLE, EGRESS_TABLE]) {
    const listing = await nft.list(`table ${name}`);
    if (listing !== undefined) tables.set(name, decodeTable(listing));
  }
  return tables;
}

function isOurs(link: string): boolean {
  return link === LINK || link.startsWith(TASK_LINK_PREFIX);
}

function settingsOf(link: string): string[] {
  return [
    ...(link === LINK
      ? ["rp_filter", "accept_local", "route_localnet"]
      : ["rp_filter", "route_localnet"]
    ).map((name) => `net/ipv4/conf/${link}/${name}`),
    disableIPv6(link),
  ];
}

/** What is routed to is an endpoint; whether it was draining, the kernel does not know. */
function endpointsOf(network: NetworkState): KernelState["endpoints"] {
  const routes = [...network.routes.values()].filter(
    (route) =>
      route.table === "main" &&
      route.via !== NOWHERE6 &&
      (route.via !== undefined || route.device.startsWith(TASK_LINK_PREFIX)),
  );
  return new Map(routes.map((route) => [route.destination, "live"]));
}
