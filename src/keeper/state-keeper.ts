/**
 * Holds the current state: changes go through it one at a time, are on disk before they are believed, and are told to
 * whoever listens. A disk that takes nothing costs no port and no task: what changes is believed all the same, and
 * written as soon as it can be; a keeper that is killed until then is told again by the daemon and the Engine.
 */
import type { Clock, Timer } from "../base/clock.ts";
import { UnavailableError } from "../base/errors.ts";
import { DiskRefusedError } from "../base/files.ts";
import type { Logger } from "../base/logger.ts";
import { Serial } from "./serial.ts";
import { EMPTY_STATE, type KeeperState } from "./state.ts";
import { loadState, saveState } from "./state-file.ts";

/** A disk that took nothing is tried again after this. */
const SAVE_RETRY_MS = 5_000;

/** Another keeper has taken over; whoever is told so asks again, and is answered by that one. */
export class HandedOverError extends UnavailableError {
  constructor() {
    super("another keeper has taken over");
  }
}

export interface StateKeeperComponents {
  readonly path: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly onChange: (before: KeeperState, after: KeeperState) => void;
  /** How it is written; to its file when absent. */
  readonly save?: (path: string, state: KeeperState) => Promise<void>;
}

export class StateKeeper {
  readonly #components: StateKeeperComponents;
  readonly #serial = new Serial();
  #state = EMPTY_STATE;
  #handedOver = false;
  /** The disk has an older state. */
  #unsaved = false;
  #retry: Timer | undefined;

  constructor(components: StateKeeperComponents) {
    this.#components = components;
  }

  get current(): KeeperState {
    return this.#state;
  }

  async load(): Promise<void> {
    const { path, log } = this.#components;
    this.#state = await loadState(path, log);
  }

  /** The work sees the state as it is when its turn comes; a state returned unchanged is not written again. */
  change<T>(
    work: (state: KeeperState) => Promise<{ readonly state: KeeperState; readonly value: T }>,
  ): Promise<T> {
    return this.#serial.run(async () => {
      if (this.#handedOver) throw new HandedOverError();
      const { state, value } = await work(this.#state);
      if (state !== this.#state) {
        await this.#saveOrOwe(state);
        const before = this.#state;
        this.#state = state;
        this.#components.onChange(before, state);
      }
      return value;
    });
  }

  /**
   * Nothing changes while `work` runs; when it succeeds, nothing changes any more: the state is another keeper's.
   * That one reads it from the disk, so while the disk takes nothing it is refused.
   */
  handOver(work: () => Promise<void>): Promise<void> {
    return this.#serial.run(async () => {
      if (this.#handedOver) throw new HandedOverError();
      if (this.#unsaved) await this.#save(this.#state);
      await work();
      this.#handedOver = true;
    });
  }

  /** Resolves when all that was asked is done, and the disk was tried once more where it owes something. */
  async stop(): Promise<void> {
    this.#retry?.cancel();
    await this.#serial.run(async () => {
      if (this.#unsaved && !this.#handedOver) await this.#saveOrOwe(this.#state);
      this.#retry?.cancel();
    });
  }

  async #saveOrOwe(state: KeeperState): Promise<void> {
    const { clock, log } = this.#components;
    try {
      await this.#save(state);
    } catch (error) {
      if (!(error instanceof DiskRefusedError)) throw error;
      if (!this.#unsaved)
        log.error("the keeper goes on with a state that is not on disk", { error });
      this.#unsaved = true;
      this.#retry?.cancel();
      this.#retry = clock.timer("keeper.state.save", SAVE_RETRY_MS, () => {
        void this.#serial.run(async () => {
          if (this.#unsaved && !this.#handedOver) await this.#saveOrOwe(this.#state);
        });
      });
    }
  }

  async #save(state: KeeperState): Promise<void> {
    const { path, log, save = saveState } = this.#components;
    await save(path, state);
    if (this.#unsaved) log.info("the keeper's state is on disk again");
    this.#unsaved = false;
    this.#retry?.cancel();
  }
}
