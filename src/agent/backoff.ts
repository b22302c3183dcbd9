/** How long to wait before trying again what is away: the Engine, the keeper. Both come back within a second or two. */
const FIRST_DELAY_MS = 50;
/** At the bound the tries go on at this pace, for ever: desired state does not go away. */
const DELAY_MS_MAX = 1_000;

export class Backoff {
  #failures = 0;

  /** The delay after one more failure. */
  next(): number {
    const delayMs = Math.min(DELAY_MS_MAX, FIRST_DELAY_MS * 2 ** this.#failures);
    this.#failures += 1;
    return delayMs;
  }

  /** It worked: the next failure is the first again. */
  reset(): void {
    this.#failures = 0;
  }
}
