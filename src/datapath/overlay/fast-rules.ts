/**
 * The fast way of an overlay network's frames: from one of its links to another as soon as they come in, past the
 * bridge and all that is hooked to it. Only IP between addresses that the bridge has entries for goes so, to the very
 * port that the bridge would give it to; all else goes on to the bridge. Chains are named by the index of their link: one
 * that is made anew is another, and what led to the old one leads nowhere else. Pure.
 */
import { fastMapName } from "../../base/overlay-links.ts";
import { type Chain, chain, mapOf, type Table } from "../nft/ruleset.ts";
import type { OverlayState } from "./state.ts";
import { wordsOf } from "./state.ts";

const PRIORITY = 0;

/** A transaction with all that the rules use, which takes it back itself: a kernel refuses it that lacks any of it. */
export const FAST_TRIAL = `add table netdev weft_trial
add map netdev weft_trial at { type ether_addr : verdict; }
add chain netdev weft_trial to
add chain netdev weft_trial from { type filter hook ingress device "lo" priority 0; }
add rule netdev weft_trial to meta iif != 1 meta length <= 1450 fwd to 1
add rule netdev weft_trial from meta protocol ip ether daddr vmap @at
add element netdev weft_trial at { 02:42:00:00:00:00 : goto to }
delete table netdev weft_trial
`;

/** What each network has in the table, by its bridge; nothing where nobody is there to be talked to. */
export type FastNetworks = ReadonlyMap<string, Table>;

/** The fast ways of these networks. `indexes`: of the links that are there, by name. */
export function fastNetworks(
  { bridges, ports, entries, tunnels }: OverlayState,
  indexes: ReadonlyMap<string, number>,
): FastNetworks {
  const exits = new Map<string, Exit[]>();
  for (const [key, name] of entries) {
    const [bridge, mac] = wordsOf(key);
    const index = indexes.get(name);
    if (index === undefined || ports.get(name)?.bridge !== bridge) continue;
    const exit = { mac, name, index, mtu: tunnels.get(name)?.mtu };
    const known = exits.get(bridge);
    if (known === undefined) exits.set(bridge, [exit]);
    else known.push(exit);
  }
  return new Map(
    [...bridges.keys()].flatMap((bridge) => {
      const found = exits.get(bridge) ?? [];
      return found.length < 2 ? [] : [[bridge, networkTable(bridge, found)] as const];
    }),
  );
}

/** Who is where: an address, and the link that leads there. */
interface Exit {
  readonly mac: string;
  readonly name: string;
  readonly index: number;
  /** Of a tunnel. A container's link sees by itself what its other end takes. */
  readonly mtu: number | undefined;
}

function networkTable(bridge: string, exits: readonly Exit[]): Table {
  const map = fastMapName(bridge);
  const chains = new Map<string, Chain>();
  for (const exit of exits) {
    // A tunnel leads to many addresses.
    if (chains.has(wayOut(exit))) continue;
    chains.set(wayOut(exit), chain(leave(exit)));
    const base = {
      type: "filter",
      hook: "ingress",
      device: exit.name,
      priority: PRIORITY,
    } as const;
    chains.set(`from_${exit.index}`, chain(enter(exit, map), base));
  }
  const elements = exits.map((exit): [string, string] => [exit.mac, `goto ${wayOut(exit)}`]);
  return { sets: new Map([[map, mapOf("type ether_addr : verdict", elements)]]), chains };
}

function wayOut({ index }: Exit): string {
  return `to_${index}`;
}

/** A container's frames only under its own address. IPv4 is asked for first, so that it meets one rule. */
function enter({ mac, mtu }: Exit, map: string): string[] {
  const own = mtu === undefined ? `ether saddr ${mac} ` : "";
  return ["ip", "ip6"].map((family) => `${own}meta protocol ${family} ether daddr vmap @${map}`);
}

/**
 * As a bridge, never back to where it came from: two hosts that believe each other to have an address would send its
 * frames to and fro for ever. What is too long for the tunnel, the bridge drops, but for packets that are cut into
 * segments on their way; which those are it can tell, and rules cannot.
 */
function leave({ index, mtu }: Exit): string[] {
  const fits = mtu === undefined ? "" : ` meta length <= ${mtu}`;
  return [`meta iif != ${index}${fits} fwd to ${index}`];
}
