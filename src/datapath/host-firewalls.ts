/** The firewalls of this host that stand in the mesh's way, as far as Weft may open them: the Engine's chain, and firewalld. */
import type { Drift } from "./describe.ts";
import type { EngineFirewall } from "./engine-firewall.ts";
import { acceptLinks, missingRules, readEngineFirewall, removeAccepts } from "./engine-firewall.ts";
import type { Firewalld } from "./firewalld.ts";
import { distrustLinks, readFirewalld, trustLinks } from "./firewalld.ts";
import type { Nft } from "./nft/nft.ts";
import type { RunTool } from "./run.ts";

/** Said where the host drops and nothing of the Engine's is there to accept in. */
export const DROPS =
  "the host's firewall drops forwarded packets (FORWARD policy DROP), and there is no DOCKER-USER chain to accept the mesh's in: start the Docker Engine again, or accept packets from and to weft0 and wv+ there";

export class HostFirewalls {
  readonly #nft: Nft;
  readonly #run: RunTool;
  #engine: EngineFirewall = { kind: "none" };
  #firewalld: Firewalld;
  #isMended = false;

  constructor(components: { readonly nft: Nft; readonly run: RunTool }) {
    this.#nft = components.nft;
    this.#run = components.run;
  }

  /** Whether nothing was found missing since the last look, or it was put there. */
  get isMended(): boolean {
    return this.#isMended;
  }

  async read(): Promise<void> {
    this.#isMended = false;
    [this.#engine, this.#firewalld] = await Promise.all([
      readEngineFirewall(this.#run),
      readFirewalld(this.#nft),
    ]);
  }

  /** Adds what the last look found missing, and says what it was. */
  async mend(): Promise<Drift[]> {
    const missing = missingRules(this.#engine);
    await acceptLinks(this.#run, this.#engine, missing);
    const untrusted = this.#firewalld?.untrusted ?? [];
    await trustLinks(this.#run, untrusted);
    this.#isMended = true;
    return [
      ...missing.map((rule) => ({ text: `DOCKER-USER lacked ${rule}` })),
      ...untrusted.map((link) => ({ text: `firewalld had ${link} in no zone` })),
    ];
  }

  /** Takes out what Weft has added. */
  async reset(): Promise<void> {
    await removeAccepts(this.#run, this.#engine);
    if (this.#firewalld !== undefined) await distrustLinks(this.#run);
  }

  /** What is in the way and not Weft's to change, in plain words. */
  problems(): readonly string[] {
    return this.#engine.kind === "drops" ? [DROPS] : [];
  }
}
