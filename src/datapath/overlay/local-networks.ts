/**
 * The networks that this node has a part in, from one view to the next: of what is as it was the very same objects come
 * out, so that a change of one network is found by looking and costs no other. Pure but for the look for links.
 */
import { isDeepStrictEqual } from "node:util";
import type { MeshView } from "../view.ts";
import type { LocalNetwork } from "./desired-links.ts";
import type { OverlayLink, OverlayNetwork } from "./view.ts";

/** What was told of one network, and what came of it. */
interface Known {
  readonly links: readonly OverlayLink[];
  readonly made: LocalNetwork;
}

const NO_LINKS: readonly OverlayLink[] = [];

export class LocalNetworks {
  #known: ReadonlyMap<number, Known> = new Map();

  /** `areBelieved`: links that were there are taken to be still; those that are new or were missing are looked for. */
  update(
    { networks, overlayLinks }: Pick<MeshView, "networks" | "overlayLinks">,
    isThere: (link: string) => boolean,
    areBelieved: boolean,
  ): readonly LocalNetwork[] {
    const before = this.#known;
    const known = new Map<number, Known>();
    const linksOf = Map.groupBy(overlayLinks, ({ vni }) => vni);
    const add = (vni: number, network: OverlayNetwork | undefined) => {
      const told = { vni, network, links: linksOf.get(vni) ?? NO_LINKS };
      const was = before.get(vni);
      const isSame = areBelieved && was !== undefined && isAsKnown(was, told);
      known.set(vni, isSame ? was : looked(was, told, isThere));
    };
    for (const network of networks) add(network.vni, network);
    for (const vni of linksOf.keys()) if (!known.has(vni)) add(vni, undefined);
    this.#known = known;
    const made = Array.from(known.values(), (one) => one.made);
    return made.sort((a, b) => a.vni - b.vni);
  }
}

function isAsKnown({ links, made }: Known, told: LocalNetwork): boolean {
  const wasWhole = links.length === made.links.length;
  return wasWhole && made.network === told.network && sameLinks(links, told.links);
}

function looked(
  before: Known | undefined,
  told: LocalNetwork,
  isThere: (link: string) => boolean,
): Known {
  const { links } = told;
  const made = { ...told, links: links.filter(({ link }) => isThere(link)) };
  const isSame = before !== undefined && isDeepStrictEqual(before.made, made);
  return { links, made: isSame ? before.made : made };
}

function sameLinks(a: readonly OverlayLink[], b: readonly OverlayLink[]): boolean {
  return a.length === b.length && a.every((one, at) => sameLink(one, b[at]));
}

function sameLink(a: OverlayLink, b: OverlayLink | undefined): boolean {
  return a === b || (a.link === b?.link && a.address === b.address && a.sandbox === b.sandbox);
}
