/** Tells nodes the gossip's keys, and finds out when all have taken them up: who has no session is told with its next. */

/** A node's session, as far as keys go. */
export interface KeyedSession {
  readonly nodeID: string;
  /** The generation that the node has said to have installed. */
  keysInstalled: number;
  setGossipKeys(keys: readonly Uint8Array[], generation: number): void;
}

export class KeySpread {
  #keys: readonly Uint8Array[] = [];
  #generation = 0;
  #sessions: ReadonlyMap<string, KeyedSession> = new Map();
  #installed = Promise.withResolvers<void>();

  /** Resolves when every node that has a session has these keys, or newer ones are told. `sessions` is looked at again with each `check`. */
  tell(keys: readonly Uint8Array[], sessions: ReadonlyMap<string, KeyedSession>): Promise<void> {
    this.#installed.resolve();
    this.#installed = Promise.withResolvers();
    this.#keys = keys;
    this.#generation += 1;
    this.#sessions = sessions;
    for (const session of sessions.values()) session.setGossipKeys(keys, this.#generation);
    const { promise } = this.#installed;
    this.check();
    return promise;
  }

  /** A session begins. */
  tellNew(session: KeyedSession): void {
    if (this.#generation > 0) session.setGossipKeys(this.#keys, this.#generation);
  }

  onInstalled(session: KeyedSession, generation: number): void {
    session.keysInstalled = generation;
    this.check();
  }

  /** A session may have ended: who has none is not waited for. */
  check(): void {
    const isInstalled = (session: KeyedSession) => session.keysInstalled >= this.#generation;
    if ([...this.#sessions.values()].every(isInstalled)) this.#installed.resolve();
  }
}
