/**
 * A tool that prints a line for each change in the kernel, for as long as the daemon lives: started again
 * when it ends, never more than one at a time, and nothing of it kept but the line that is read.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Clock, Timer } from "../base/clock.ts";
import type { Startable } from "../base/lifecycle.ts";
import type { Logger } from "../base/logger.ts";

/** A tool that ended is started again after this time, doubled each time up to the longest. */
const RETRY_MS = 250;
const RETRY_MS_MAX = 30_000;
/** A tool that ran so long was well: the next retry is quick again. */
const WELL_MS = 10_000;
/** It listens by then, but does not say so: what changed before it did is looked for once more. */
const LISTENS_MS = 1_000;
/** Ends with the daemon, however that ends. */
const TIED = ["setpriv", "--pdeathsig", "KILL"];

export interface MonitorComponents {
  readonly clock: Clock;
  readonly log: Logger;
  readonly onLine: (line: string) => void;
  /** It was away, or says itself that it missed something: whatever may have changed. */
  readonly onGap: () => void;
}

export class Monitor implements Startable {
  readonly #components: MonitorComponents;
  readonly #command: readonly string[];
  readonly #name: string;
  #child: ChildProcess | undefined;
  #retry: Timer | undefined;
  #listens: Timer | undefined;
  #retryMs = RETRY_MS;
  #stopped = false;

  /** `command`: an argument array; it is tied to this process's life. */
  constructor(components: MonitorComponents, command: readonly string[]) {
    this.#components = components;
    this.#command = command;
    this.#name = command.join(" ");
  }

  start(): void {
    const [tool = "", ...args] = [...TIED, ...this.#command];
    const { clock, onGap } = this.#components;
    this.#listens?.cancel();
    this.#listens = clock.timer("monitor listens", LISTENS_MS, onGap);
    const startedAt = clock.monotonic();
    const child = spawn(tool, args, { stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    createInterface({ input: child.stdout }).on("line", this.#components.onLine);
    // Both tools tell on stderr that the kernel's buffer ran over, and go on.
    createInterface({ input: child.stderr }).on("line", () => this.#components.onGap());
    child.once("error", (error) => this.#again({ error }));
    child.once("exit", (code, signal) => {
      if (clock.monotonic() - startedAt >= WELL_MS) this.#retryMs = RETRY_MS;
      this.#again({ code, signal });
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#retry?.cancel();
    this.#listens?.cancel();
    const child = this.#child;
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }

  #again(why: Readonly<Record<string, unknown>>): void {
    if (this.#stopped) return;
    const { clock, log, onGap } = this.#components;
    log.warn("a monitor of the kernel ended, starting it again", { monitor: this.#name, ...why });
    // nft (1.0.6) dies of being told that a `ct timeout` is gone, which a flush of all rules is.
    onGap();
    this.#retry?.cancel();
    this.#retry = clock.timer("monitor", this.#retryMs, () => {
      this.start();
      onGap();
    });
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MS_MAX);
  }
}
