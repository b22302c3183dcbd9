/**
 * The keys that the nodes' gossip is sealed with: made by the manager, kept with its secrets, told over the
 * sessions, and changed every 12 hours in two steps, so that all can open the new one before any seals with it.
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
/** A change that could not be written is tried again after this. */
const RETRY_MS = 10_000;

/** What is kept: the first key seals, all open. While the second spreads it is to become the first. */
export interface KeptKeys {
  /** Base64. */
  readonly keys: readonly string[];
  readonly changedAt: number;
  readonly isSpreading: boolean;
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

export interface GossipKeysComponents {
  readonly secrets: SecretBox;
  readonly clock: Clock;
  readonly log: Logger;
  /** Called with the keys at the start, and at each change once it is durable. */
  readonly onKeys: (keys: readonly Uint8Array[]) => void;
}

export class GossipKeys implements Startable {
  readonly #components: GossipKeysComponents;
  #timer: Timer | undefined;
  #kept: KeptKeys | undefined;
  #turn: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(components: GossipKeysComponents) {
    this.#components = components;
  }

  /** Keys that are there go on; a new cluster gets its first. */
  async start(): Promise<void> {
    const { secrets, clock } = this.#components;
    const text = secrets.get(GOSSIP_KEYS_SECRET);
    const first = { keys: [newKey()], changedAt: clock.now(), isSpreading: false };
    const kept = text === undefined ? first : decode(text);
    if (text === undefined) await secrets.set(GOSSIP_KEYS_SECRET, JSON.stringify(kept));
    this.#tell(kept);
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
    this.#components.onKeys(kept.keys.map((key) => Buffer.from(key, "base64")));
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
    const { secrets, clock, log } = this.#components;
    const next = nextKeys(kept, clock.now(), newKey());
    try {
      await secrets.set(GOSSIP_KEYS_SECRET, JSON.stringify(next));
    } catch (error) {
      log.error("the gossip's keys are not changed", { error });
      if (!this.#stopped) this.#arm(kept, Math.max(RETRY_MS, keysDueAt(kept) - clock.now()));
      return false;
    }
    log.info(next.isSpreading ? "a new gossip key spreads" : "the new gossip key is in use");
    this.#tell(next);
    return true;
  }
}

function newKey(): string {
  return randomBytes(KEY_BYTES).toString("base64");
}

function decode(text: string): KeptKeys {
  const { keys, changedAt, isSpreading } = JSON.parse(text) as Partial<KeptKeys>;
  if (!Array.isArray(keys) || typeof changedAt !== "number") {
    throw new SystemError("the store's gossip keys cannot be read: restore a backup");
  }
  return { keys, changedAt, isSpreading: isSpreading === true };
}
