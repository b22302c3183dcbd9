/** Events as the Engine gives them: a reader that comes back is told what happened meanwhile. */
import type { RuntimeEvent } from "../runtime.ts";

/** As the Engine's: what is older is forgotten. */
const EVENTS_KEPT_MAX = 256;

export class FakeEvents {
  readonly #kept: RuntimeEvent[] = [];
  /** How many events there were before the first kept one. */
  #forgotten = 0;
  /** How many events readers have taken. */
  #position = 0;
  #generation = 0;
  #wake = Promise.withResolvers<void>();

  emit(event: RuntimeEvent): void {
    this.#kept.push(event);
    if (this.#kept.length > EVENTS_KEPT_MAX) {
      this.#kept.shift();
      this.#forgotten += 1;
    }
    this.#notify();
  }

  /** Ends all readers. */
  interrupt(): void {
    this.#generation += 1;
    this.#notify();
  }

  async *read(signal: AbortSignal): AsyncIterable<RuntimeEvent> {
    const generation = this.#generation;
    const onAbort = () => this.#notify();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      while (!signal.aborted && generation === this.#generation) {
        const event = this.#kept[Math.max(0, this.#position - this.#forgotten)];
        if (event === undefined) {
          await this.#wake.promise;
          continue;
        }
        this.#position = Math.max(this.#position, this.#forgotten) + 1;
        yield event;
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  #notify(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers<void>();
  }
}
