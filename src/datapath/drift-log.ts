/** Logs what had drifted, once: a program that undoes Weft's work again and again gets one line a minute for each thing. */
import type { Clock } from "../base/clock.ts";
import type { Logger } from "../base/logger.ts";
import type { Drift } from "./describe.ts";

const QUIET_MS = 60_000;
/** Things remembered at once; beyond this the oldest is forgotten and would be logged again. */
const REMEMBERED_MAX = 256;
/** Lines for one audit; the rest is counted. */
const LINES_MAX = 20;

export class DriftLog {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #seen = new Map<string, { loggedAt: number; unsaid: number }>();

  constructor(components: { readonly clock: Clock; readonly log: Logger }) {
    this.#clock = components.clock;
    this.#log = components.log;
  }

  add(drifts: readonly Drift[]): void {
    const news = drifts.filter(({ text }) => this.#isNews(text));
    for (const { text } of news.slice(0, LINES_MAX)) this.#say(text);
    const more = news.length - LINES_MAX;
    if (more > 0) this.#log.warn("more of the kernel's state had drifted", { more });
  }

  #isNews(text: string): boolean {
    const seen = this.#seen.get(text);
    if (seen === undefined || this.#clock.monotonic() - seen.loggedAt >= QUIET_MS) return true;
    seen.unsaid += 1;
    return false;
  }

  #say(text: string): void {
    const unsaid = this.#seen.get(text)?.unsaid ?? 0;
    const again = unsaid === 0 ? {} : { timesSinceLastSaid: unsaid };
    this.#log.warn("the kernel's state had drifted and was mended", { drift: text, ...again });
    this.#seen.delete(text);
    this.#seen.set(text, { loggedAt: this.#clock.monotonic(), unsaid: 0 });
    const [oldest] = this.#seen.keys();
    if (this.#seen.size > REMEMBERED_MAX && oldest !== undefined) this.#seen.delete(oldest);
  }
}
