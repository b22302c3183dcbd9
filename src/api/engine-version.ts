/** What the local Engine says of itself: the API version that Weft advertises is the Engine's. */
import type { Clock } from "../base/clock.ts";
import { InvalidParameterError } from "../base/errors.ts";
import type { Engine } from "./engine.ts";

/** An Engine that was upgraded underneath is believed anew after this long; one that was away is asked again. */
const VERSION_TTL_MS = 30_000;
const RETRY_MS = 2_000;

/** An Engine that hangs does not hang the cluster's paths: they are answered unchecked after this long. */
const VERSION_TIMEOUT_MS = 1_000;

export interface EngineVersion {
  readonly apiVersion: string;
  readonly minAPIVersion: string;
}

export class EngineVersionCache {
  readonly #engine: Engine;
  readonly #clock: Clock;
  #known: EngineVersion | undefined;
  #askAgainAt = Number.NEGATIVE_INFINITY;
  #asking: Promise<void> | undefined;

  constructor(engine: Engine, clock: Clock) {
    this.#engine = engine;
    this.#clock = clock;
  }

  /** The last that was read, while a newer one is asked for; undefined when there never was one. */
  async current(): Promise<EngineVersion | undefined> {
    if (this.#clock.monotonic() >= this.#askAgainAt) {
      this.#asking ??= this.#ask().finally(() => {
        this.#asking = undefined;
      });
      if (this.#known === undefined) await this.#asking;
    }
    return this.#known;
  }

  async #ask(): Promise<void> {
    const late = new AbortController();
    const timer = this.#clock.timer("engine version", VERSION_TIMEOUT_MS, () => late.abort());
    try {
      const answer = await this.#engine.get("/version", late.signal);
      this.#known = decodeVersion(JSON.parse(answer.body.toString("utf8"))) ?? this.#known;
      this.#askAgainAt = this.#clock.monotonic() + VERSION_TTL_MS;
    } catch {
      // The cluster's paths do not need the Engine: they are answered without it, unchecked.
      this.#askAgainAt = this.#clock.monotonic() + RETRY_MS;
    } finally {
      timer.cancel();
    }
  }
}

/** Refuses a version outside of what the Engine speaks, in Docker's words. */
export function checkClientVersion(requested: string, engine: EngineVersion): void {
  if (compareVersions(requested, engine.apiVersion) > 0) {
    throw new InvalidParameterError(
      `client version ${requested} is too new. Maximum supported API version is ${engine.apiVersion}`,
    );
  }
  if (compareVersions(requested, engine.minAPIVersion) < 0) {
    throw new InvalidParameterError(
      `client version ${requested} is too old. Minimum supported API version is ${engine.minAPIVersion}, please upgrade your client to a newer version`,
    );
  }
}

/** Compares dotted numbers: 1.9 < 1.24. */
export function compareVersions(a: string, b: string): number {
  const left = a.split(".").map(Number);
  const right = b.split(".").map(Number);
  for (let at = 0; at < Math.max(left.length, right.length); at += 1) {
    const difference = (left[at] ?? 0) - (right[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function decodeVersion(value: unknown): EngineVersion | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { ApiVersion: apiVersion, MinAPIVersion: minAPIVersion } = value as Record<string, unknown>;
  if (typeof apiVersion !== "string" || typeof minAPIVersion !== "string") return undefined;
  return { apiVersion, minAPIVersion };
}
