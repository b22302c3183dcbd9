/**
 * The agent's view of the keeper: which endpoints it has made, how the ports went that it was asked to hold.
 * What was known last stays known while the keeper is away, because what it made stays too.
 */
import { type Clock, delay } from "../base/clock.ts";
import type { Startable } from "../base/lifecycle.ts";
import type { Logger } from "../base/logger.ts";
import { portKey } from "../datapath/view.ts";
import type {
  KeeperClient,
  KeeperEndpoint,
  KeeperEvent,
  PortHold,
  PortRequest,
} from "../keeper/protocol.ts";
import { Backoff } from "./backoff.ts";
import { NameTeller } from "./name-teller.ts";
import type { NameSet } from "./names.ts";

export interface KeeperLinkComponents {
  readonly keeper: KeeperClient;
  /** Starts a keeper where none answers; called before each new try. */
  readonly ensureKeeper: () => Promise<void>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Something known of the keeper changed. */
  readonly onChange: () => void;
}

export class KeeperLink implements Startable {
  readonly #components: KeeperLinkComponents;
  readonly #stopping = new AbortController();
  #following: Promise<void> | undefined;
  #endpoints: readonly KeeperEndpoint[] | undefined;
  #holds: ReadonlyMap<string, PortHold> = new Map();
  #heldKeys: ReadonlySet<string> = new Set();
  #isAnyBusy = false;
  /** What the keeper that is up was last asked to hold, as sorted keys; undefined until it was asked. */
  #asked: string | undefined;
  #asking: Promise<unknown> = Promise.resolve();
  readonly #teller: NameTeller;
  #telling: Promise<void> = Promise.resolve();

  constructor(components: KeeperLinkComponents) {
    this.#components = components;
    this.#teller = new NameTeller(components.keeper);
  }

  /** Undefined until the keeper has answered once: nothing may be concluded from its silence. */
  get endpoints(): readonly KeeperEndpoint[] | undefined {
    return this.#endpoints;
  }

  hold(protocol: string, port: number): PortHold | undefined {
    return this.#holds.get(portKey(protocol, port));
  }

  /** Keys of all ports that the keeper really holds; the very same set until that changes. */
  heldKeys(): ReadonlySet<string> {
    return this.#heldKeys;
  }

  /** Whether somebody else has any of the ports. */
  get isAnyBusy(): boolean {
    return this.#isAnyBusy;
  }

  start(): void {
    this.#following ??= this.#follow();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#following;
    await this.#asking.catch(() => {});
    await this.#telling.catch(() => {});
  }

  /**
   * Asks the keeper to hold exactly these ports and resolves with how they went; one question at a time, none
   * when it was the last one.
   */
  ask(ports: () => readonly PortRequest[]): Promise<ReadonlyMap<string, PortHold>> {
    const asking = this.#asking.catch(() => {}).then(() => this.#ask(ports()));
    this.#asking = asking;
    return asking;
  }

  /** Resolves when the keeper answers with the names of these sets, and no others; one after another. */
  tellNames(sets: () => readonly NameSet[]): Promise<void> {
    const telling = this.#telling.catch(() => {}).then(() => this.#teller.tell(sets()));
    this.#telling = telling;
    return telling;
  }

  async #ask(ports: readonly PortRequest[]): Promise<ReadonlyMap<string, PortHold>> {
    const question = questionOf(ports);
    if (question === this.#asked) return this.#holds;
    const holds = await this.#components.keeper.holdPorts(ports);
    this.#asked = question;
    return this.#learnHolds(holds);
  }

  async #follow(): Promise<void> {
    const { keeper, ensureKeeper, clock, log } = this.#components;
    const { signal } = this.#stopping;
    const backoff = new Backoff();
    while (!signal.aborted) {
      try {
        await ensureKeeper();
        for await (const event of keeper.events(signal)) {
          backoff.reset();
          this.#learn(event);
        }
      } catch (error) {
        if (!signal.aborted) log.warn("the keeper does not answer", { error });
      }
      // A keeper that was started anew may not remember what the last one was asked.
      this.#asked = undefined;
      this.#teller.forget();
      await delay(clock, "keeper-retry", backoff.next(), signal).catch(() => {});
    }
  }

  #learn(event: KeeperEvent): void {
    if (event.kind === "endpoints") {
      this.#endpoints = event.endpoints;
      this.#components.onChange();
    } else {
      // Somebody else has told it otherwise, or it has forgotten: the next pass says once more what is wanted.
      if (questionOf(event.ports) !== this.#asked) this.#asked = undefined;
      this.#learnHolds(event.ports);
    }
  }

  #learnHolds(holds: readonly PortHold[]): ReadonlyMap<string, PortHold> {
    const known = new Map(holds.map((hold) => [portKey(hold.protocol, hold.port), hold]));
    this.#holds = known;
    this.#heldKeys = new Set(
      [...known].filter(([, { state }]) => state === "held").map(([key]) => key),
    );
    this.#isAnyBusy = holds.some(({ state }) => state === "busy");
    this.#components.onChange();
    return known;
  }
}

const questions = new WeakMap<readonly PortRequest[], string>();

/** Lists are never changed in place, and mostly it is the very same. */
function questionOf(ports: readonly PortRequest[]): string {
  const known = questions.get(ports) ?? sortedKeys(ports);
  questions.set(ports, known);
  return known;
}

function sortedKeys(ports: readonly PortRequest[]): string {
  return ports
    .map(({ protocol, port }) => portKey(protocol, port))
    .sort()
    .join(" ");
}
