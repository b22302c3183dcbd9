/**
 * Sees to it that drift is found: audits now and then, and at once when nft tells that a table of Weft's
 * was deleted. At once, because after a flush the kernel resets an established connection that
 * sends within the gap.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Clock, Timer } from "../base/clock.ts";
import { Reconciler, type Startable } from "../base/lifecycle.ts";
import type { Logger } from "../base/logger.ts";
import type { Drift } from "./describe.ts";
import { EGRESS_TABLE, TABLE } from "./desired-ruleset.ts";

export interface AuditorComponents {
  readonly datapath: { audit(): Promise<Drift[]> };
  readonly clock: Clock;
  readonly log: Logger;
  /** Told of what was found and mended. */
  readonly onDrift?: (drifts: readonly Drift[]) => void;
}

export interface AuditorInit {
  readonly intervalMs?: number;
  /** The command that prints a line for each thing that is deleted from nftables. */
  readonly monitor?: readonly string[];
}

/** What no event tells (routes, links, settings, the Engine's chain) is found within this time. */
const DEFAULT_INTERVAL_MS = 30_000;
/** A monitor that ended is started again after this time; until then the interval has to do. */
const MONITOR_RETRY_MS = 1_000;
/** Ends with the daemon, however that ends. */
const MONITOR = ["setpriv", "--pdeathsig", "KILL", "nft", "monitor", "destroy"];
const TABLE_IS_GONE: ReadonlySet<string> = new Set(
  [TABLE, EGRESS_TABLE].map((table) => `delete table ${table}`),
);

export class Auditor implements Startable {
  readonly #components: AuditorComponents;
  readonly #intervalMs: number;
  readonly #command: readonly string[];
  readonly #loop: Reconciler;
  #timer: Timer | undefined;
  #retry: Timer | undefined;
  #monitor: ChildProcess | undefined;
  #stopped = false;

  constructor(components: AuditorComponents, init: AuditorInit = {}) {
    this.#components = components;
    this.#intervalMs = init.intervalMs ?? DEFAULT_INTERVAL_MS;
    this.#command = init.monitor ?? MONITOR;
    this.#loop = new Reconciler({
      pass: () => this.#audit(),
      onError: (error) => components.log.warn("the audit failed", { error }),
    });
  }

  start(): void {
    this.#watch();
    this.#again();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#retry?.cancel();
    const monitor = this.#monitor;
    if (monitor?.pid !== undefined && monitor.exitCode === null && monitor.signalCode === null) {
      const ended = once(monitor, "exit");
      monitor.kill("SIGKILL");
      await ended;
    }
    await this.#loop.stop();
  }

  async #audit(): Promise<void> {
    const drifts = await this.#components.datapath.audit();
    if (drifts.length > 0) this.#components.onDrift?.(drifts);
  }

  #again(): void {
    this.#timer = this.#components.clock.timer("datapath audit", this.#intervalMs, () => {
      this.#loop.markDirty();
      this.#again();
    });
  }

  #watch(): void {
    const [tool = "", ...args] = this.#command;
    const monitor = spawn(tool, args, { stdio: ["ignore", "pipe", "ignore"] });
    this.#monitor = monitor;
    createInterface({ input: monitor.stdout }).on("line", (line) => {
      if (TABLE_IS_GONE.has(line.trim())) this.#loop.markDirty();
    });
    // What cannot be run now will hardly be in a second.
    monitor.once("error", (error) => this.#watchLater(this.#intervalMs, { error }));
    monitor.once("exit", (code, signal) => this.#watchLater(MONITOR_RETRY_MS, { code, signal }));
  }

  #watchLater(delayMs: number, why: Readonly<Record<string, unknown>>): void {
    if (this.#stopped) return;
    this.#components.log.warn("nft monitor ended, starting it again", why);
    this.#retry?.cancel();
    this.#retry = this.#components.clock.timer("nft monitor", delayMs, () => {
      this.#watch();
      // What was deleted while nobody watched.
      this.#loop.markDirty();
    });
  }
}
