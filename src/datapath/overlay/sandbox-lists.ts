/**
 * The virtual IPs of each container, from one change to the next: those of a container whose networks are as they were are
 * the very same list, and nothing of it is computed. A container on several networks has a list for all of them.
 */
import { isDeepStrictEqual } from "node:util";
import type { LocalNetwork, OverlayPlace } from "./desired-links.ts";
import { type Networks, narrow } from "./narrow.ts";
import { type VirtualIP, virtualIPsOf } from "./virtual-ips.ts";

type List = readonly VirtualIP[];

interface OfNetwork {
  readonly network: LocalNetwork;
  readonly place: OverlayPlace;
  readonly list: List;
}

interface Joined {
  readonly of: readonly List[];
  readonly list: List;
}

const NO_NETWORKS: readonly LocalNetwork[] = [];

export class SandboxLists {
  #networks: Networks | undefined;
  readonly #ofNetwork = new Map<number, OfNetwork>();
  /** By sandbox, in the order of their VNIs. */
  readonly #networksOf = new Map<string, readonly LocalNetwork[]>();
  readonly #joined = new Map<string, Joined>();
  readonly #lists = new Map<string, List>();

  /**
   * By the file of the container's namespace: the map itself, as it is until the next update. Networks that are as before
   * are the very same objects.
   */
  update(networks: Networks): ReadonlyMap<string, List> {
    const { place } = networks;
    const { before, after } = narrow(this.#networks ?? { place, local: [] }, networks);
    this.#networks = networks;
    const joined = new Map<string, Joined>();
    for (const [sandbox, list] of this.#touched(before.local, after.local)) {
      if (list.length === 0) this.#drop(sandbox);
      else this.#set(sandbox, list, this.#join(place, sandbox, list, joined));
    }
    const kept = new Set(after.local.map(({ vni }) => vni));
    for (const { vni } of before.local) if (!kept.has(vni)) this.#ofNetwork.delete(vni);
    return this.#lists;
  }

  forget(): void {
    this.#networks = undefined;
    for (const map of [this.#ofNetwork, this.#networksOf, this.#joined, this.#lists]) map.clear();
  }

  /** The containers of these networks, each with all networks that it is on now. */
  #touched(
    before: readonly LocalNetwork[],
    after: readonly LocalNetwork[],
  ): ReadonlyMap<string, readonly LocalNetwork[]> {
    const left = new Set(before);
    const touched = new Map<string, LocalNetwork[]>();
    const of = (sandbox: string) => {
      const known =
        touched.get(sandbox) ??
        (this.#networksOf.get(sandbox) ?? NO_NETWORKS).filter((network) => !left.has(network));
      touched.set(sandbox, known);
      return known;
    };
    for (const { links } of before) for (const { sandbox } of links) of(sandbox);
    for (const network of after) for (const { sandbox } of network.links) of(sandbox).push(network);
    for (const list of touched.values()) list.sort((a, b) => a.vni - b.vni);
    return touched;
  }

  #drop(sandbox: string): void {
    for (const map of [this.#networksOf, this.#joined, this.#lists]) map.delete(sandbox);
  }

  #set(sandbox: string, networks: readonly LocalNetwork[], joined: Joined): void {
    this.#networksOf.set(sandbox, networks);
    this.#joined.set(sandbox, joined);
    this.#lists.set(sandbox, joined.list);
  }

  /** `joined`: of containers that were looked at before, by the VNIs of their networks. */
  #join(
    place: OverlayPlace,
    sandbox: string,
    networks: readonly LocalNetwork[],
    joined: Map<string, Joined>,
  ): Joined {
    const key = networks.map(({ vni }) => vni).join(" ");
    const of = networks.map((network) => this.#listOf(place, network));
    for (const known of [joined.get(key), this.#joined.get(sandbox)]) {
      const isSame = known?.of.length === of.length && known.of.every((one, at) => one === of[at]);
      if (!isSame) continue;
      joined.set(key, known);
      return known;
    }
    const made = { of, list: of.length === 1 ? (of[0] ?? []) : of.flat() };
    joined.set(key, made);
    return made;
  }

  #listOf(place: OverlayPlace, network: LocalNetwork): List {
    const known = this.#ofNetwork.get(network.vni);
    if (known?.network === network && known.place === place) return known.list;
    const found = virtualIPsOf(place, network);
    const list = known !== undefined && isDeepStrictEqual(known.list, found) ? known.list : found;
    this.#ofNetwork.set(network.vni, { network, place, list });
    return list;
  }
}
