/** Runs what it is given one after another, in the order it was asked. A failure is its caller's, not the next one's. */
export class Serial {
  #last: Promise<unknown> = Promise.resolve();

  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => {});
    return result;
  }

  /** Resolves when all that was asked until now has ended. */
  async idle(): Promise<void> {
    await this.#last;
  }
}
