/** The firewalls of this host that stand in the mesh's way, as far as Weft may open them: the Engine's chain, and firewalld. */
import type { Drift } from "./describe.ts";
import type { EngineFirewall } from "./engine-firewall.ts";
import {
  acceptLinks,
  chainOf,
  FIREWALL_TOOLS,
  type FirewallTool,
  leadToChain,
  missingRules,
  missingWay,
  readEngineFirewall,
  readForward6,
  removeAccepts,
} from "./engine-firewall.ts";
import type { Firewalld } from "./firewalld.ts";
import { distrustLinks, readFirewalld, trustLinks } from "./firewalld.ts";
import { LegacyTables } from "./legacy-tables.ts";
import type { Nft } from "./nft/nft.ts";
import type { RunTool } from "./run.ts";

/** Said where the host drops and nothing of the Engine's is there to accept in. */
export const DROPS =
  "the host's firewall drops forwarded packets (FORWARD policy DROP), and there is no DOCKER-USER chain to accept the mesh's in: start the Docker Engine again, or accept packets from and to weft0 and wv+, and from wb+ to wb+, there";

/** What lets the mesh through and is not there: each rule, and the chain that it belongs to. */
export function lacksOf(
  tool: FirewallTool,
  engine: EngineFirewall,
): readonly { readonly chain: string; readonly rule: string }[] {
  const family = tool === "ip6tables" ? " of IPv6" : "";
  const accepts = missingRules(engine).map((rule) => ({
    chain: `${chainOf(engine)}${family}`,
    rule,
  }));
  const way = missingWay(engine);
  return way === undefined ? accepts : [...accepts, { chain: `FORWARD${family}`, rule: way }];
}

/** What a look has found. */
export interface FirewallsFound {
  /** Of legacy iptables, before the rest was read. */
  readonly outlines: string;
  readonly engine: ReadonlyMap<FirewallTool, EngineFirewall>;
  readonly firewalld: Firewalld;
}

export class HostFirewalls {
  readonly #nft: Nft;
  readonly #run: RunTool;
  #engine: ReadonlyMap<FirewallTool, EngineFirewall> = new Map();
  #firewalld: Firewalld;
  #isMended = false;
  readonly #legacy: LegacyTables;

  constructor(components: {
    readonly nft: Nft;
    readonly run: RunTool;
    readonly legacy?: LegacyTables;
  }) {
    this.#nft = components.nft;
    this.#run = components.run;
    this.#legacy = components.legacy ?? new LegacyTables();
  }

  /** Whether legacy iptables, of which no event tells, may be otherwise than at the last look; cheap. */
  mayHaveDrifted(): boolean {
    return this.#legacy.haveChanged();
  }

  /** Whether nothing was found missing since the last look, or it was put there. */
  get isMended(): boolean {
    return this.#isMended;
  }

  /** Changes nothing here: what it found may be of the past once it has. */
  async look(): Promise<FirewallsFound> {
    // First, so that what changes while it is read is looked at once more.
    const outlines = this.#legacy.outlines();
    const [engine, firewalld] = await Promise.all([
      Promise.all(
        FIREWALL_TOOLS.map(
          async (tool) =>
            [tool, await readEngineFirewall({ nft: this.#nft, run: this.#run }, tool)] as const,
        ),
      ),
      readFirewalld(this.#nft),
    ]);
    return { outlines, engine: new Map(engine), firewalld };
  }

  /** This is how they are now. */
  believe({ outlines, engine, firewalld }: FirewallsFound): void {
    this.#isMended = false;
    this.#legacy.note(outlines);
    this.#engine = engine;
    this.#firewalld = firewalld;
  }

  /** Adds what the last look found missing, and says what it was. */
  async mend(): Promise<Drift[]> {
    const drifts: Drift[] = [];
    for (const [tool, engine] of this.#engine) {
      const missing = missingRules(engine);
      await acceptLinks(this.#run, engine, missing);
      await leadToChain(this.#run, engine);
      const lacks = lacksOf(tool, engine);
      // Flushed once more before the next look, it would be as it was noted.
      if (lacks.length > 0) this.#legacy.distrust();
      drifts.push(...lacks.map(({ chain, rule }) => ({ text: `${chain} lacked ${rule}` })));
    }
    const untrusted = this.#firewalld?.untrusted ?? [];
    await trustLinks(this.#run, untrusted);
    this.#isMended = true;
    return [...drifts, ...untrusted.map((link) => ({ text: `firewalld had ${link} in no zone` }))];
  }

  /** Takes out what Weft has added. */
  async reset(): Promise<void> {
    for (const engine of this.#engine.values()) await removeAccepts(this.#run, engine);
    // Where an Engine that minds IPv6 has come since, they may be in both chains.
    await removeAccepts(this.#run, await readForward6({ nft: this.#nft, run: this.#run }));
    if (this.#firewalld !== undefined) await distrustLinks(this.#run);
  }

  /** Whether firewalld runs, which by default drops IPv6 packets without a way back by the link that they came by. */
  get filtersPaths6(): boolean {
    return this.#firewalld !== undefined;
  }

  /** What is in the way and not Weft's to change, in plain words. */
  problems(): readonly string[] {
    return this.#engine.get("iptables")?.kind === "drops" ? [DROPS] : [];
  }
}
