/** Holds the current state: changes go through it one at a time, are on disk before they are believed, and are told to whoever listens. */
import { UnavailableError } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import { Serial } from "./serial.ts";
import { EMPTY_STATE, type KeeperState } from "./state.ts";
import { loadState, saveState } from "./state-file.ts";

/** Another keeper has taken over; whoever is told so asks again, and is answered by that one. */
export class HandedOverError extends UnavailableError {
  constructor() {
    super("another keeper has taken over");
  }
}

export interface StateKeeperComponents {
  readonly path: string;
  readonly log: Logger;
  readonly onChange: (before: KeeperState, after: KeeperState) => void;
}

export class StateKeeper {
  readonly #components: StateKeeperComponents;
  readonly #serial = new Serial();
  #state = EMPTY_STATE;
  #handedOver = false;

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
        await saveState(this.#components.path, state);
        const before = this.#state;
        this.#state = state;
        this.#components.onChange(before, state);
      }
      return value;
    });
  }

  /** Nothing changes while `work` runs; when it succeeds, nothing changes any more: the state is another keeper's. */
  handOver(work: () => Promise<void>): Promise<void> {
    return this.#serial.run(async () => {
      if (this.#handedOver) throw new HandedOverError();
      await work();
      this.#handedOver = true;
    });
  }

  idle(): Promise<void> {
    return this.#serial.idle();
  }
}
