/**
 * Who may change the kernel when: one at a time. Looking at it takes a hundred times longer than changing a little, so a
 * look holds nobody up: it is made beside the turns, and what it saw counts only if nothing was changed meanwhile.
 */

/** Looks that were overtaken; the next is made within a turn, so that drift is mended also while changes never pause. */
const OVERTAKEN_MAX = 2;

export class Turns {
  #last: Promise<unknown> = Promise.resolve();
  #changes = 0;

  /** One at a time; callers wait their turn. */
  async take<T>(action: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(action);
    this.#last = turn.catch(() => {});
    return await turn;
  }

  /** Said within a turn, before it changes something: what was seen until now is of the past. */
  noteChange(): void {
    this.#changes += 1;
  }

  /** Judges, within a turn, what was seen; nothing has changed between the look's beginning and the judgement's. */
  async judge<Seen, T>(
    look: () => Promise<Seen>,
    judgement: (seen: Seen) => Promise<T>,
  ): Promise<T> {
    for (let overtaken = 0; overtaken < OVERTAKEN_MAX; overtaken++) {
      // Within a turn, as nothing is half done then.
      const before = await this.take(async () => this.#changes);
      const seen = await look();
      const judged = await this.take(async () =>
        this.#changes === before ? { value: await judgement(seen) } : undefined,
      );
      if (judged !== undefined) return judged.value;
    }
    return await this.take(async () => await judgement(await look()));
  }
}
