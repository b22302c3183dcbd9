/** Gives names to each container that is in a user's network, for as long as it is in one. */
import type { Clock } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import type { Random } from "../../base/random.ts";
import { Serial } from "../serial.ts";
import type { KeeperState } from "../state.ts";
import type { NameIndex } from "./name-index.ts";
import type { NameStore } from "./name-store.ts";
import { networkSetID } from "./names.ts";
import { SandboxResolver } from "./sandbox-resolver.ts";

const NO_NAMES = "a container has no names of its networks";

export interface SandboxesComponents {
  readonly names: NameStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

export class Sandboxes {
  readonly #components: SandboxesComponents;
  readonly #serial = new Serial();
  readonly #resolvers = new Map<string, SandboxResolver>();
  /** By sandbox: the networks it is in. */
  #networks: ReadonlyMap<string, readonly number[]> = new Map();

  constructor(components: SandboxesComponents) {
    this.#components = components;
  }

  /** Resolves when the containers of this state, and no others, are answered. One that cannot be is logged, and left to the Engine. */
  follow(state: KeeperState): Promise<void> {
    this.#networks = networksOf(state);
    return this.#serial.run(async () => {
      const gone = [...this.#resolvers].filter(([sandbox]) => !this.#networks.has(sandbox));
      for (const [sandbox, resolver] of gone) {
        this.#resolvers.delete(sandbox);
        await resolver.unlead();
        await resolver.close();
      }
      await this.#lead(await this.#openAll());
    });
  }

  /** As `follow`, for a keeper that starts: containers are led to where it answers already, which is only made sure of. */
  async restore(state: KeeperState): Promise<void> {
    this.#networks = networksOf(state);
    const opened = await this.#serial.run(() => this.#openAll());
    void this.#serial.run(() => this.#lead(opened));
  }

  /** `handedOver`: another keeper answers at the same places; otherwise the Engine does from now on. */
  async stop({ handedOver }: { readonly handedOver: boolean }): Promise<void> {
    await this.#serial.run(async () => {
      for (const resolver of this.#resolvers.values()) {
        if (!handedOver) await resolver.unlead();
        await resolver.close();
      }
      this.#resolvers.clear();
    });
  }

  async #openAll(): Promise<ReadonlyMap<string, SandboxResolver>> {
    const { clock, random, log } = this.#components;
    const opened = new Map<string, SandboxResolver>();
    for (const sandbox of this.#networks.keys()) {
      if (this.#resolvers.has(sandbox)) continue;
      const sets = () => this.#setsOf(sandbox);
      try {
        const resolver = await SandboxResolver.open(sandbox, { clock, random, sets });
        this.#resolvers.set(sandbox, resolver);
        opened.set(sandbox, resolver);
      } catch (error) {
        log.error(NO_NAMES, { sandbox, error });
      }
    }
    return opened;
  }

  async #lead(opened: ReadonlyMap<string, SandboxResolver>): Promise<void> {
    for (const [sandbox, resolver] of opened) {
      try {
        await resolver.lead();
      } catch (error) {
        this.#components.log.error(NO_NAMES, { sandbox, error });
        this.#resolvers.delete(sandbox);
        await resolver.close();
      }
    }
  }

  #setsOf(sandbox: string): readonly NameIndex[] {
    const { names } = this.#components;
    const sets = (this.#networks.get(sandbox) ?? []).flatMap(
      (vni) => names.get(networkSetID(vni)) ?? [],
    );
    return sets.length < 2 ? sets : sets.toSorted((a, b) => (a.suffix < b.suffix ? -1 : 1));
  }
}

function networksOf({ endpoints }: KeeperState): ReadonlyMap<string, readonly number[]> {
  const networks = new Map<string, readonly number[]>();
  for (const { vni, sandboxKey, state } of endpoints.values()) {
    if (vni === undefined || sandboxKey === undefined || state !== "joined") continue;
    networks.set(sandboxKey, [...(networks.get(sandboxKey) ?? []), vni]);
  }
  return networks;
}
