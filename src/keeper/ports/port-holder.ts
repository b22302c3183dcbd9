/**
 * Holds the published ports: what is asked for is really bound, so that no process of the host takes it,
 * and what some process has already is left to it, shown as busy, and tried again until it is free.
 */
import type { Clock, Timer } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import type { Logger } from "../../base/logger.ts";
import type { PortHold, PortRequest } from "../protocol.ts";
import { Serial } from "../serial.ts";
import type { Binder, BoundPort, PortSocket } from "./binder.ts";

/** One timer for all busy ports; each of its turns tries every one of them once. */
const RETRY_MS = 1_000;

export interface PortHolderComponents {
  readonly clock: Clock;
  readonly log: Logger;
  readonly binder: Binder;
  readonly onChange: (ports: readonly PortHold[]) => void;
}

/** A port and a socket that holds it. */
export interface HeldSocket {
  readonly request: PortRequest;
  readonly socket: PortSocket;
}

interface Entry {
  readonly request: PortRequest;
  readonly bound?: BoundPort;
  readonly reason?: string;
}

export class PortHolder {
  readonly #components: PortHolderComponents;
  readonly #serial = new Serial();
  readonly #entries = new Map<string, Entry>();
  #retry: Timer | undefined;
  #stopped = false;

  constructor(components: PortHolderComponents) {
    this.#components = components;
  }

  holds(): readonly PortHold[] {
    return [...this.#entries.values()].map(({ request, bound, reason }) =>
      bound === undefined
        ? { ...request, state: "busy", reason: reason ?? "not tried yet" }
        : { ...request, state: "held" },
    );
  }

  /** Holds exactly these: lets go of the others first, then binds what is new. */
  hold(requests: readonly PortRequest[]): Promise<readonly PortHold[]> {
    return this.#serial.run(async () => {
      const wanted = new Map(requests.map((request) => [keyOf(request), request]));
      let changed = false;
      for (const [key, entry] of this.#entries) {
        if (wanted.has(key)) continue;
        this.#entries.delete(key);
        changed = true;
        await entry.bound?.close();
      }
      for (const [key, request] of wanted) {
        if (this.#entries.get(key)?.bound !== undefined) continue;
        changed = (await this.#bind(key, request)) || changed;
      }
      return this.#settle(changed);
    });
  }

  /** Before the first `hold`: goes on with a socket that another keeper bound. */
  adopt({ request, socket }: HeldSocket): void {
    const key = keyOf(request);
    const bound = this.#entries.get(key)?.bound;
    if (bound !== undefined) bound.adopt(socket);
    else this.#entries.set(key, { request, bound: this.#components.binder.adopt(request, socket) });
  }

  /** Nothing is bound or let go of while `work` runs with all the bound sockets. */
  frozen<T>(work: (held: readonly HeldSocket[]) => Promise<T>): Promise<T> {
    return this.#serial.run(() =>
      work(
        [...this.#entries.values()].flatMap(({ request, bound }) =>
          (bound?.sockets ?? []).map((socket) => ({ request, socket })),
        ),
      ),
    );
  }

  /** Lets go of all ports and tries no more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#serial.run(async () => {
      this.#retry?.cancel();
      for (const entry of this.#entries.values()) await entry.bound?.close();
      this.#entries.clear();
    });
  }

  /** Resolves with whether the port's state is another than before. */
  async #bind(key: string, request: PortRequest): Promise<boolean> {
    const { binder, log } = this.#components;
    const before = this.#entries.get(key);
    try {
      this.#entries.set(key, { request, bound: await binder.bind(request) });
      log.debug("holds a port", { port: key });
      return true;
    } catch (error) {
      const reason = reasonOf(error);
      this.#entries.set(key, { request, reason });
      if (before?.reason === reason) return false;
      log.warn("cannot hold a port", { port: key, reason });
      return true;
    }
  }

  #settle(changed: boolean): readonly PortHold[] {
    const holds = this.holds();
    if (changed) this.#components.onChange(holds);
    this.#retry?.cancel();
    this.#retry = undefined;
    if (!this.#stopped && holds.some((hold) => hold.state === "busy")) {
      const retry = () => void this.#serial.run(() => this.#retryBusy());
      this.#retry = this.#components.clock.timer("keeper.ports.retry", RETRY_MS, retry);
    }
    return holds;
  }

  async #retryBusy(): Promise<void> {
    if (this.#stopped) return;
    let changed = false;
    for (const [key, { request, bound }] of this.#entries) {
      if (bound === undefined) changed = (await this.#bind(key, request)) || changed;
    }
    this.#settle(changed);
  }
}

function keyOf({ protocol, port }: PortRequest): string {
  return `${protocol}/${port}`;
}

/** In the words of the system's own tools. */
const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: "address already in use",
  EACCES: "permission denied",
  EMFILE: "too many open files",
};

function reasonOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code ?? "";
  return REASONS[code] ?? messageOf(error);
}
