/** What this host's kernel holds of the mesh, and whether packets reach its peers: on the underlay, and through the tunnel. */

import { isOfIPv6 } from "../base/ip-address.ts";
import type { LinkState } from "../datapath/ip/read.ts";
import { readNetwork } from "../datapath/ip/read.ts";
import { LINK, overlayMAC, TABLE } from "../datapath/names.ts";
import { decodeTable } from "../datapath/nft/decode.ts";
import { isWithin } from "../datapath/nft/interpret.ts";
import type { Nft } from "../datapath/nft/nft.ts";
import type { RunTool } from "../datapath/run.ts";
import type { MeshFacts, PeerFacts } from "./facts.ts";

/** IP and ICMP headers, which ping's size leaves out. */
const PING_OVERHEAD = 28;
const PING_OVERHEAD6 = 48;
/** Peers probed at a time; the rest waits. */
const PEERS_AT_A_TIME = 16;
/** Beyond these a cluster's network is known well enough. */
const PEERS_MAX = 64;

/** Undefined on a host that is part of no mesh. */
export async function probeMesh(
  nft: Nft,
  run: RunTool,
  canPing: boolean,
): Promise<MeshFacts | undefined> {
  const { state, holders } = await readNetwork(run);
  const link = state.links.get(LINK);
  if (link === undefined) return undefined;
  const uplinkMTU = holders.get(link.local)?.mtu;
  const sizes = { tunnel: link.mtu, uplink: uplinkMTU ?? link.mtu };
  return {
    subnets: [...state.rules.values()].map(({ from }) => from),
    local: link.local,
    tunnelMTU: link.mtu,
    uplinkMTU,
    tunnelUp: link.up,
    tables: await ownTables(nft),
    placeless: await placelessPorts(nft, [...holders.keys()]),
    peers: canPing ? await probePeers(run, peersOf(state), sizes) : [],
  };
}

async function ownTables(nft: Nft): Promise<string[]> {
  const listing = JSON.stringify(await nft.list("tables"));
  return ["inet", "netdev"].flatMap((family) =>
    new RegExp(`"family":"${family}","name":"weft"`).test(listing) ? [`${family} weft`] : [],
  );
}

/** From the kernel's own sets: those of a port that no address of the host is in. */
async function placelessPorts(nft: Nft, addresses: readonly string[]): Promise<string[]> {
  const listing = await nft.list(`table ${TABLE}`);
  if (listing === undefined) return [];
  const { sets } = decodeTable(listing);
  const places = ["bound_to", "bound_to6"].flatMap((name) => [
    ...(sets.get(name)?.elements.keys() ?? []),
  ]);
  const bound = [...(sets.get("bound")?.elements.keys() ?? [])];
  return bound
    .filter((port) => {
      const networks = places.flatMap((place) =>
        place.startsWith(`${port} . `) ? [place.slice(`${port} . `.length)] : [],
      );
      return !addresses.some((address) => networks.some((network) => isWithin(address, network)));
    })
    .map((port) => port.split(" . ").reverse().join("/"));
}

interface Peer {
  readonly underlay: string;
  readonly overlay: string;
}

/** A peer has a route of its own, to its overlay address, and a forwarding entry that says where the tunnel ends. */
function peersOf(state: LinkState): Peer[] {
  return [...state.routes.values()].flatMap(({ table, destination, device }) => {
    if (table !== "main" || device !== LINK) return [];
    const underlay = state.fdb.get(overlayMAC(destination));
    return underlay === undefined ? [] : [{ underlay, overlay: destination }];
  });
}

async function probePeers(
  run: RunTool,
  peers: readonly Peer[],
  sizes: { readonly tunnel: number; readonly uplink: number },
): Promise<PeerFacts[]> {
  const probed: PeerFacts[] = [];
  for (let start = 0; start < Math.min(peers.length, PEERS_MAX); start += PEERS_AT_A_TIME) {
    const some = peers.slice(start, Math.min(start + PEERS_AT_A_TIME, PEERS_MAX));
    probed.push(...(await Promise.all(some.map((peer) => probePeer(run, peer, sizes)))));
  }
  return probed;
}

async function probePeer(
  run: RunTool,
  { underlay, overlay }: Peer,
  { tunnel, uplink }: { readonly tunnel: number; readonly uplink: number },
): Promise<PeerFacts> {
  const [underlaySmall, underlayFull, small, full] = await Promise.all([
    answers(run, underlay),
    answers(run, underlay, uplink),
    answers(run, overlay),
    answers(run, overlay, tunnel),
  ]);
  return { underlay, overlay, underlaySmall, underlayFull, small, full };
}

/** One of three small packets, or of three of exactly this size that must not be cut on the way. */
async function answers(run: RunTool, address: string, size?: number): Promise<boolean> {
  const overhead = isOfIPv6(address) ? PING_OVERHEAD6 : PING_OVERHEAD;
  const large = size === undefined ? [] : ["-M", "do", "-s", `${size - overhead}`];
  const args = ["-n", "-q", "-c", "3", "-i", "0.2", "-W", "1", ...large, address];
  return (await run("ping", args)).status === 0;
}
