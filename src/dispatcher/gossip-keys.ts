/**
 * The keys that the nodes' gossip is sealed with: made by the manager, kept with its secrets, told over the
 * sessions, and changed every 12 hours in two steps, so that all can open the new one before any seals with it.
 *
 *     settled ── 12 h ──▶ spreading ── a minute ──▶ settled, with the old ones still opening
 *     a member is gone ──▶ spread ── all have it ──▶ in use ── all have it ──▶ settled, with the new one alone
 */
import { randomBytes } from "node:crypto";
import type { Clock, Timer } from "../base/clock.ts";
import { ConflictError, SystemError, UnavailableError } from "../base/errors.ts";
import type { Startable } from "../base/lifecycle.ts";
import type { Logger } from "../base/logger.ts";
import type { SecretBox } from "../cluster/store.ts";

/** The name of the keys in the store's secret box. */
const GOSSIP_KEYS_SECRET = "gossip-keys";
/** AES-128, as Docker's. */
const KEY_BYTES = 16;
/** As Docker's. */
const ROTATION_MS = 12 * 3_600_000;
/** How long a new key only opens: nodes that hang on a manager have it within moments, others come back. */
const SPREAD_MS = 60_000;
/** A node holds no more; who missed two rotations has to ask a manager. */
const KEYS_MAX = 3;
/** While a member is shut out, nodes that have not confirmed a step by then are not waited for: they come back for the keys. */
const CONFIRMED_MS_MAX = 5_000;
/** A change that could not be written is tried again after this. */
const RETRY_MS = 10_000;

/** What is kept: the first key seals, all open. While the second spreads it is to become the first. */
export interface KeptKeys {
  /** Base64. */
  readonly keys: readonly string[];
  readonly changedAt: number;
  readonly isSpreading: boolean;
  /** Somebody is shut out: the new key only opens yet, or seals while the old one still opens. */
  readonly purge?: "spread" | "used";
}

/** When the next step is due. */
export function keysDueAt({ changedAt, isSpreading }: KeptKeys): number {
  return changedAt + (isSpreading ? SPREAD_MS : ROTATION_MS);
}

/** The next step: a new key that opens, then seals. */
export function nextKeys(kept: KeptKeys, now: number, newKey: string): KeptKeys {
  const [first = newKey, second, ...older] = kept.keys;
  if (kept.isSpreading && second !== undefined) {
    return { keys: [second, first, ...older], changedAt: now, isSpreading: false };
  }
  const others = second === undefined ? older : [second, ...older];
  const keys = [first, newKey, ...others].slice(0, KEYS_MAX);
  return { keys, changedAt: now, isSpreading: true };
}

/** The next step of shutting out whoever knows the keys of now: three of them end with one key that nobody else has. */
export function purgedKeys(kept: KeptKeys, now: number, newKey: string): KeptKeys {
  const { keys, purge } = kept;
  const [first = newKey, second, ...older] = keys;
  if (purge === "used") return { keys: [first], changedAt: now, isSpreading: false };
  if (purge === "spread" && second !== undefined) {
    return { keys: [second, first, ...older], changedAt: now, isSpreading: false, purge: "used" };
  }
  const others = second === undefined ? older : [second, ...older];
  const spread = [first, newKey, ...others].slice(0, KEYS_MAX);
  return { keys: spread, changedAt: now, isSpreading: true, purge: "spread" };
}

export interface GossipKeysComponents {
  readonly secrets: SecretBox;
  readonly clock: Clock;
  readonly log: Logger;
  /** Called with the keys at the start, and at each change once it is durable; resolves when all nodes in reach have them. */
  readonly onKeys: (keys: readonly Uint8Array[]) => Promise<void>;
}

export class GossipKeys implements Startable {
  readonly #components: GossipKeysComponents;
  #timer: Timer | undefined;
  #kept: KeptKeys | undefined;
  #turn: Promise<void> = Promise.resolve();
  #stopped = false;
  #owesPurge = false;
  #confirmed: Promise<void> = Promise.resolve();
  /** Ends the wait for confirmations. */
  #giveUp = () => {};

  constructor(components: GossipKeysComponents) {
    this.#components = components;
  }

  /** Keys that are there go on; a new cluster gets its first. */
  async start(): Promise<void> {
    const { secrets, clock } = this.#components;
    const text = secrets.get(GOSSIP_KEYS_SECRET);
    const first: KeptKeys = { keys: [newKey()], changedAt: clock.now(), isSpreading: false };
    const kept = text === undefined ? first : decode(text);
    if (text === undefined) await secrets.set(GOSSIP_KEYS_SECRET, JSON.stringify(kept));
    this.#tell(kept);
    if (kept.purge !== undefined) this.#purgeNext();
  }

  /** A member is gone: no key that it knows opens or seals anything, as soon as all others have another. */
  shutOut(): void {
    this.#owesPurge = true;
    this.#purgeNext();
  }

  /** Makes a new key now. Rejects with ConflictError while the last one spreads, since some may not have it. */
  rotate(): Promise<void> {
    const turn = this.#turn.then(() => this.#rotate());
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#giveUp();
    await this.#turn;
  }

  async #rotate(): Promise<void> {
    const kept = this.#kept;
    if (kept === undefined || this.#stopped) throw new UnavailableError("there are no keys yet");
    if (kept.isSpreading) {
      throw new ConflictError("a new gossip key spreads already; it is in use within a minute");
    }
    this.#timer?.cancel();
    if (!(await this.#advance(kept))) throw new SystemError("the new key could not be stored");
  }

  #tell(kept: KeptKeys): void {
    if (this.#stopped) return;
    this.#kept = kept;
    this.#confirmed = this.#components.onKeys(kept.keys.map((key) => Buffer.from(key, "base64")));
    this.#arm(kept, keysDueAt(kept) - this.#components.clock.now());
  }

  #arm(kept: KeptKeys, delayMs: number): void {
    this.#timer?.cancel();
    // The next turn is by the wall clock, for it is kept over restarts; one that was set back must not put it off.
    const boundedMs = Math.min(Math.max(0, delayMs), ROTATION_MS);
    this.#timer = this.#components.clock.timer("gossip keys", boundedMs, () => {
      this.#turn = this.#turn.then(() => this.#advanceIfDue(kept));
    });
  }

  /** Somebody may have asked for a change since the timer was set. */
  async #advanceIfDue(kept: KeptKeys): Promise<void> {
    if (kept === this.#kept && !this.#stopped) await this.#advance(kept);
  }

  /** Whether the next step is durable, and told; one that is not is tried again later. */
  async #advance(kept: KeptKeys): Promise<boolean> {
    const { clock } = this.#components;
    const next = nextKeys(kept, clock.now(), newKey());
    const isTaken = await this.#take(next);
    if (!isTaken && !this.#stopped) {
      this.#arm(kept, Math.max(RETRY_MS, keysDueAt(kept) - clock.now()));
    }
    return isTaken;
  }

  #purgeNext(): void {
    this.#turn = this.#turn.then(() => this.#purge());
  }

  /** Who is gone while this is under way was told the key that spreads: one more round, for however many they are. */
  async #purge(): Promise<void> {
    const { clock, log } = this.#components;
    for (let kept = this.#kept; kept !== undefined && !this.#stopped; kept = this.#kept) {
      if (kept.purge === undefined) {
        if (!this.#owesPurge) return;
        this.#owesPurge = false;
        log.info("a node is no member any more: the gossip's keys are changed");
      }
      if (!(await this.#take(purgedKeys(kept, clock.now(), newKey())))) {
        this.#owesPurge = true;
        this.#timer?.cancel();
        if (!this.#stopped) {
          this.#timer = clock.timer("gossip keys", RETRY_MS, () => this.#purgeNext());
        }
        return;
      }
      if (this.#kept?.purge !== undefined) await this.#untilConfirmed();
    }
  }

  async #untilConfirmed(): Promise<void> {
    const over = Promise.withResolvers<void>();
    this.#giveUp = over.resolve;
    if (this.#stopped) return;
    const timer = this.#components.clock.timer("gossip keys", CONFIRMED_MS_MAX, over.resolve);
    await Promise.race([this.#confirmed, over.promise]);
    timer.cancel();
  }

  /** Whether these keys are durable, and told. */
  async #take(next: KeptKeys): Promise<boolean> {
    const { secrets, log } = this.#components;
    try {
      await secrets.set(GOSSIP_KEYS_SECRET, JSON.stringify(next));
    } catch (error) {
      log.error("the gossip's keys are not changed", { error });
      return false;
    }
    log.info(textOf(next));
    this.#tell(next);
    return true;
  }
}

function textOf({ isSpreading, keys }: KeptKeys): string {
  if (isSpreading) return "a new gossip key spreads";
  return keys.length === 1 ? "the new gossip key is the only one" : "the new gossip key is in use";
}

function newKey(): string {
  return randomBytes(KEY_BYTES).toString("base64");
}

function decode(text: string): KeptKeys {
  const { keys, changedAt, isSpreading, purge } = JSON.parse(text) as Partial<KeptKeys>;
  if (!Array.isArray(keys) || typeof changedAt !== "number") {
    throw new SystemError("the store's gossip keys cannot be read: restore a backup");
  }
  return {
    ...{ keys, changedAt, isSpreading: isSpreading === true },
    ...(purge === "spread" || purge === "used" ? { purge } : {}),
  };
}
