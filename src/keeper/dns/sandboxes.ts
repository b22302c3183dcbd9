/** Gives names to each container that is in a user's network, for as long as it is in one. */
import type { Clock, Timer } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import type { Random } from "../../base/random.ts";
import { Serial } from "../serial.ts";
import type { KeeperState } from "../state.ts";
import { ContainerNamespace, isNamespace } from "./container-namespace.ts";
import type { NameIndex } from "./name-index.ts";
import type { NameStore } from "./name-store.ts";
import { networkSetID } from "./names.ts";
import { SandboxResolver } from "./sandbox-resolver.ts";

export interface SandboxesComponents {
  readonly names: NameStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/**
 * The Engine makes a container's namespace some time after it has joined, with its process, and then takes some tens of
 * milliseconds to set up its own resolver there before the process runs: time enough, when it is looked for so often.
 */
const LOOK_MS = 3;
/** A container that does not start within this is looked for at leisure. */
const PATIENCE_MS = 30_000;
const LEISURE_MS = 500;

interface Wanted {
  readonly since: number;
  /** What went wrong was logged. */
  complained: boolean;
}

export class Sandboxes {
  readonly #components: SandboxesComponents;
  readonly #serial = new Serial();
  readonly #resolvers = new Map<string, SandboxResolver>();
  /** Those that are not answered yet. */
  readonly #wanted = new Map<string, Wanted>();
  /** By sandbox: the networks it is in. */
  #networks: ReadonlyMap<string, readonly number[]> = new Map();
  #look: Timer | undefined;

  constructor(components: SandboxesComponents) {
    this.#components = components;
  }

  /**
   * Resolves when the containers of this state that have a namespace, and no others, are answered; the rest as soon as
   * they have one. One that cannot be is logged, and left to the Engine until it can.
   */
  follow(state: KeeperState): Promise<void> {
    const { clock } = this.#components;
    this.#networks = networksOf(state);
    for (const sandbox of this.#wanted.keys()) {
      if (!this.#networks.has(sandbox)) this.#wanted.delete(sandbox);
    }
    for (const sandbox of this.#networks.keys()) {
      if (this.#resolvers.has(sandbox) || this.#wanted.has(sandbox)) continue;
      this.#wanted.set(sandbox, { since: clock.monotonic(), complained: false });
    }
    return this.#serial.run(async () => {
      for (const [sandbox, resolver] of this.#resolvers) {
        if (this.#networks.has(sandbox)) continue;
        this.#resolvers.delete(sandbox);
        resolver.unlead();
        await resolver.close();
      }
      // Before the container's process is there. Where it fails, so does each container's answer, which is logged.
      if (this.#wanted.size > 0) await ContainerNamespace.prepare().catch(() => {});
      await this.#answerWanted();
    });
  }

  /** `handedOver`: another keeper answers at the same places; otherwise the Engine does from now on. */
  async stop({ handedOver }: { readonly handedOver: boolean }): Promise<void> {
    this.#wanted.clear();
    this.#look?.cancel();
    await this.#serial.run(async () => {
      for (const resolver of this.#resolvers.values()) {
        if (!handedOver) resolver.unlead();
        await resolver.close();
      }
      this.#resolvers.clear();
    });
  }

  async #answerWanted(): Promise<void> {
    for (const [sandbox, wanted] of this.#wanted) {
      if (!isNamespace(sandbox)) continue;
      try {
        await this.#answer(sandbox);
        this.#wanted.delete(sandbox);
      } catch (error) {
        const { log } = this.#components;
        if (!wanted.complained) {
          log.error("a container has no names of its networks", { sandbox, error });
        }
        wanted.complained = true;
      }
    }
    this.#look?.cancel();
    this.#look = this.#wanted.size === 0 ? undefined : this.#nextLook();
  }

  async #answer(sandbox: string): Promise<void> {
    const { clock, random } = this.#components;
    const sets = () => this.#setsOf(sandbox);
    const resolver = await SandboxResolver.open(sandbox, { clock, random, sets });
    try {
      resolver.lead();
    } catch (error) {
      await resolver.close();
      throw error;
    }
    this.#resolvers.set(sandbox, resolver);
  }

  #nextLook(): Timer {
    const { clock } = this.#components;
    const isUrgent = [...this.#wanted.values()].some(
      ({ since, complained }) => !complained && clock.monotonic() - since < PATIENCE_MS,
    );
    return clock.timer("keeper.dns.namespaces", isUrgent ? LOOK_MS : LEISURE_MS, () => {
      void this.#serial.run(() => this.#answerWanted());
    });
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
