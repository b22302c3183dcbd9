/**
 * The kernel's part of users' overlay networks on this node: links, the host's rules, and the virtual IPs in the
 * containers' own namespaces. Part of the datapath, which calls it once at a time; what it costs is what changed.
 */
import { existsSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { BRIDGE_PREFIX, PORT_PREFIX, TUNNEL_PREFIX } from "../../base/overlay-links.ts";
import type { Drift } from "../describe.ts";
import { driftsOf } from "../describe.ts";
import type { HostListing } from "../ip/host-listing.ts";
import { isLink, linkNames } from "../ip/links.ts";
import { nameOf } from "../ip/listing.ts";
import { decodeTable } from "../nft/decode.ts";
import type { Nft } from "../nft/nft.ts";
import { planTransaction } from "../nft/plan.ts";
import type { Ruleset } from "../nft/ruleset.ts";
import type { NftTransaction } from "../nft/transaction.ts";
import { renderTransaction } from "../nft/transaction.ts";
import type { RunTool } from "../run.ts";
import { type MeshView, tunnelAddressOf } from "../view.ts";
import { linkDrifts } from "./describe.ts";
import { desiredLinks, type LocalNetwork, type OverlayPlace } from "./desired-links.ts";
import { executeLinkRemovals, executeLinks } from "./execute.ts";
import type { FastFound, FastPath, FastReport, FastScope } from "./fast-path.ts";
import { hostRules, OVERLAY_TABLE } from "./host-rules.ts";
import { LocalNetworks } from "./local-networks.ts";
import { type Networks, narrow } from "./narrow.ts";
import type { OverlayPlan } from "./plan.ts";
import { planLinks } from "./plan.ts";
import { decodeLinks, readLinks } from "./read-links.ts";
import { SandboxLists } from "./sandbox-lists.ts";
import type { Sandboxes } from "./sandboxes.ts";
import { EMPTY_OVERLAYS, type OverlayState } from "./state.ts";

export interface OverlayDatapathComponents {
  readonly nft: Nft;
  readonly run: RunTool;
  readonly sandboxes: Sandboxes;
  readonly fastPath: FastPath;
  /** Told of what is done to the host's kernel while it is done, for the kernel tells of that too. */
  readonly changing: (work: () => Promise<void>) => Promise<void>;
}

/** What a look has found. */
export interface OverlaysFound {
  readonly links: OverlayState;
  readonly rules: Ruleset;
  /** Absent where it was not looked for. */
  readonly fast?: FastFound;
}

const NOTHING_FOUND: OverlaysFound = { links: EMPTY_OVERLAYS, rules: new Map() };

interface Difference {
  readonly links: OverlayPlan;
  readonly rules: NftTransaction;
  readonly fast: FastScope;
}

const OWN_LINKS = new RegExp(`^(${BRIDGE_PREFIX}|${TUNNEL_PREFIX}|${PORT_PREFIX})[0-9a-f]{6}`);

export class OverlayDatapath {
  readonly #nft: Nft;
  readonly #run: RunTool;
  readonly #sandboxes: Sandboxes;
  readonly #fastPath: FastPath;
  readonly #changing: OverlayDatapathComponents["changing"];
  /** What the kernel has; undefined when it must be read back. */
  #actual: Networks | undefined;
  #place: OverlayPlace | undefined;
  readonly #local = new LocalNetworks();
  readonly #lists = new SandboxLists();

  constructor({ nft, run, sandboxes, fastPath, changing }: OverlayDatapathComponents) {
    this.#fastPath = fastPath;
    this.#changing = changing;
    this.#nft = nft;
    this.#run = run;
    this.#sandboxes = sandboxes;
  }

  /** Brings the kernel to the view; resolves with how many commands it took. `mtu`: of networks that name none. */
  async apply(view: MeshView, mtu: number): Promise<number> {
    try {
      return await this.#applyOnce(view, mtu);
    } catch {
      // The keeper has made a bridge for its first container meanwhile, or somebody meddled: look again, once.
      this.#actual = undefined;
      return await this.#applyOnce(view, mtu);
    }
  }

  async #applyOnce(view: MeshView, mtu: number): Promise<number> {
    const wanted = this.#networksOf(view, mtu);
    const difference = await this.#difference(wanted);
    const { links, rules } = difference;
    const fast = await this.#execute(wanted, difference);
    return links.additions.length + rules.length + fast.changes + links.removals.length;
  }

  /** What the kernel holds of these networks, as far as it is not in `listing`. Changes nothing here. */
  async look(listing: HostListing): Promise<OverlaysFound> {
    const isAny = listing.links.some((link) => OWN_LINKS.test(nameOf(link)));
    if (!isAny) return NOTHING_FOUND;
    const [rules, fast] = await Promise.all([this.#readRules(), this.#fastPath.look()]);
    return { links: decodeLinks(listing), rules, fast };
  }

  /** Compares what was found with the view, mends what differs, and says what it was. */
  async audit(view: MeshView, mtu: number, found: OverlaysFound): Promise<Drift[]> {
    this.#actual = undefined;
    const wanted = this.#networksOf(view, mtu);
    const difference = differenceFrom(found, wanted);
    const fast = await this.#execute(wanted, difference);
    return [
      ...linkDrifts(difference.links),
      ...driftsOf({ additions: [], transaction: difference.rules, removals: [] }),
      ...fast.drifts,
      ...(await this.#sandboxes.audit()),
    ];
  }

  /** Takes every trace off the host; what is in containers ends with them. */
  async reset(): Promise<void> {
    await this.#sandboxes.stop();
    const [state, rules] = await this.#read();
    const names = new Set([
      ...state.ports.keys(),
      ...state.tunnels.keys(),
      ...state.bridges.keys(),
    ]);
    for (const name of linkNames()) if (OWN_LINKS.test(name)) names.add(name);
    await this.#fastPath.reset();
    await this.#commit(planTransaction(rules, new Map()));
    await executeLinkRemovals(
      this.#run,
      [...names].map((name) => ({ kind: "link.delete", name })),
    );
    this.#actual = undefined;
    this.#lists.forget();
  }

  async stop(): Promise<void> {
    await this.#sandboxes.stop();
  }

  /** After an apply, what differs between the two; thousands of networks cost what changed of them. */
  async #difference(wanted: Networks): Promise<Difference> {
    if (this.#actual === undefined) {
      const [links, rules] = await this.#readIfAny(wanted);
      return differenceFrom({ links, rules }, wanted);
    }
    const { before, after, witness } = narrow(this.#actual, wanted);
    const links = desiredLinks(after.place, after.local);
    const left = desiredLinks(before.place, before.local);
    return {
      links: planLinks(withoutLeft(left, links), links),
      rules: planTransaction(
        hostRules(before.place, [...witness, ...before.local]),
        hostRules(after.place, [...witness, ...after.local]),
      ),
      fast: { bridges: new Set([...left.bridges.keys(), ...links.bridges.keys()]), state: links },
    };
  }

  async #execute(wanted: Networks, { links, rules, fast }: Difference): Promise<FastReport> {
    // Until all of it is done, nobody knows what the kernel holds.
    this.#actual = undefined;
    if (links.additions.length + rules.length > 0) {
      await this.#changing(async () => {
        await executeLinks(this.#run, links.additions);
        await this.#commit(rules);
      });
    }
    // The links are there, and nothing of what is to go has gone: both ways lead to the same ports.
    const report = await this.#fastPath.bring(fast);
    await this.#sandboxes.apply(this.#lists.update(wanted));
    if (links.removals.length > 0) {
      await this.#changing(() => executeLinkRemovals(this.#run, links.removals));
    }
    this.#actual = wanted;
    return report;
  }

  async #commit(transaction: NftTransaction): Promise<void> {
    if (transaction.length > 0) await this.#nft.run(renderTransaction(transaction));
  }

  /** A host without such networks is not asked about them. */
  async #readIfAny({ local }: Networks): Promise<[OverlayState, Ruleset]> {
    if (local.length > 0) return await this.#read();
    const names = linkNames();
    return [...names].some((name) => OWN_LINKS.test(name))
      ? await this.#read()
      : [EMPTY_OVERLAYS, new Map()];
  }

  async #read(): Promise<[OverlayState, Ruleset]> {
    return await Promise.all([readLinks(this.#run), this.#readRules()]);
  }

  async #readRules(): Promise<Ruleset> {
    const listing = await this.#nft.list(`table ${OVERLAY_TABLE}`);
    return listing === undefined ? new Map() : new Map([[OVERLAY_TABLE, decodeTable(listing)]]);
  }

  /** Networks that are as before are the very same objects, and so is the place. */
  #networksOf(view: MeshView, mtu: number): Networks {
    const place = placeOf(view, mtu);
    const isSame = isDeepStrictEqual(this.#place, place);
    this.#place = isSame && this.#place !== undefined ? this.#place : place;
    return { place: this.#place, local: this.#localNetworks(view) };
  }

  #localNetworks(view: MeshView): readonly LocalNetwork[] {
    if (this.#actual !== undefined) return this.#local.update(view, isLink, true);
    const there = linkNames();
    return this.#local.update(view, (link) => there.has(link), false);
  }
}

function differenceFrom({ links, rules, fast }: OverlaysFound, wanted: Networks): Difference {
  const state = desiredLinks(wanted.place, wanted.local);
  return {
    links: planLinks(links, state),
    rules: planTransaction(rules, hostRules(wanted.place, wanted.local)),
    fast: { state, ...(fast === undefined ? {} : { found: fast }) },
  };
}

function placeOf(view: MeshView, mtu: number): OverlayPlace {
  return {
    selfIndex: view.self.index,
    tunnelAddress: tunnelAddressOf(view.self),
    dataPathPort: view.dataPathPort,
    ipv6: existsSync("/proc/sys/net/ipv6"),
    mtu,
    peers: new Map(view.peers.map((peer) => [peer.index, tunnelAddressOf(peer)])),
  };
}

/** Containers' links that are no longer wanted have gone, and keep no bridge from going. */
function withoutLeft(before: OverlayState, after: OverlayState): OverlayState {
  const stays = (name: string) => before.tunnels.has(name) || after.ports.has(name);
  return { ...before, ports: new Map([...before.ports].filter(([name]) => stays(name))) };
}
