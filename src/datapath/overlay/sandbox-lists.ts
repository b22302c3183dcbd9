/**
 * The virtual IPs of each container, from one change to the next: those of a container whose networks are as they were are
 * the very same list, and nothing of it is computed. A container on several networks has a list for all of them.
 */
import { isDeepStrictEqual } from "node:util";
import type { LocalNetwork, OverlayPlace } from "./desired-links.ts";
import type { Networks } from "./narrow.ts";
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

export class SandboxLists {
  #networks: Networks | undefined;
  readonly #ofNetwork = new Map<number, OfNetwork>();
  /** By the VNIs: the same list for all containers that are on the same networks. */
  #joined = new Map<string, Joined>();
  #bySandbox: ReadonlyMap<string, List> = new Map();

  /** By the file of the container's namespace. Networks that are as before are the very same objects. */
  update(networks: Networks): ReadonlyMap<string, List> {
    if (!isSame(this.#networks, networks)) this.#bySandbox = this.#made(networks);
    this.#networks = networks;
    return this.#bySandbox;
  }

  forget(): void {
    this.#networks = undefined;
    this.#ofNetwork.clear();
    this.#joined.clear();
  }

  #made({ place, local }: Networks): ReadonlyMap<string, List> {
    const networksOf = new Map<string, LocalNetwork[]>();
    for (const network of local) {
      for (const { sandbox } of network.links) {
        const known = networksOf.get(sandbox);
        if (known === undefined) networksOf.set(sandbox, [network]);
        else known.push(network);
      }
    }
    this.#forgetGone(local);
    const before = this.#joined;
    this.#joined = new Map();
    const bySandbox = new Map<string, List>();
    for (const [sandbox, networks] of networksOf) {
      bySandbox.set(sandbox, this.#joinedList(place, networks, before));
    }
    return bySandbox;
  }

  #forgetGone(local: readonly LocalNetwork[]): void {
    const vnis = new Set(local.map(({ vni }) => vni));
    for (const vni of this.#ofNetwork.keys()) if (!vnis.has(vni)) this.#ofNetwork.delete(vni);
  }

  #joinedList(
    place: OverlayPlace,
    networks: readonly LocalNetwork[],
    before: ReadonlyMap<string, Joined>,
  ): List {
    const of = networks.map((network) => this.#listOf(place, network));
    const [only = []] = of;
    if (of.length < 2) return only;
    const key = networks.map(({ vni }) => vni).join(" ");
    const known = this.#joined.get(key) ?? before.get(key);
    const isSame = known?.of.every((one, at) => one === of[at]) === true;
    const joined = isSame ? known : { of, list: of.flat() };
    this.#joined.set(key, joined);
    return joined.list;
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

function isSame(a: Networks | undefined, b: Networks): boolean {
  return (
    a?.place === b.place &&
    a.local.length === b.local.length &&
    a.local.every((network, at) => network === b.local[at])
  );
}
