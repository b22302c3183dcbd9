/**
 * The two moments of a task that depend on its traffic: its ports are served, so that connections may be led to
 * it; its connections are done, so that it may be stopped. Looked at in short steps, each wait bounded.
 */
import { type Clock, delay } from "../base/clock.ts";
import { addressBytes } from "../base/ip-address.ts";
import type { PortConfig } from "../cluster/objects.ts";
import type { TaskSocketReader, TaskSockets } from "./task-sockets.ts";
import { servedKey } from "./task-status.ts";

/**
 * A task that does not serve what it publishes within this time runs all the same: Docker would have said
 * so at once, and a health check is the way to say more.
 */
export const SERVING_MS_MAX = 5_000;
/** Between two looks. */
const LOOK_MS = 50;
/** While a task has as many sockets as before, they are looked at so often: what can have changed are their states. */
const STATES_MS = 500;
/**
 * A task of datagrams is silent for so long before it is stopped: nobody sees whether it still works on an answer, or
 * whether a datagram was on its way when all nodes had let go of it. Local lookups are answered in this time.
 */
export const ANSWER_MS = 300;
/** The number of connections is told so often at most. */
const TELL_MS = 1_000;
/** A look at a very busy task may take this part of the time at most: it is paused for so many times its length. */
const PAUSE_FACTOR = 10;

export interface TrafficWatchComponents {
  readonly reader: TaskSocketReader;
  readonly clock: Clock;
}

/** What a look has found. */
type Found = "over" | "open" | "datagrams";

export class TrafficWatch {
  readonly #reader: TaskSocketReader;
  readonly #clock: Clock;

  constructor({ reader, clock }: TrafficWatchComponents) {
    this.#reader = reader;
    this.#clock = clock;
  }

  /** Resolves when the ports are served, at once where nobody can tell. */
  async untilServed(pid: number, ports: readonly PortConfig[], signal: AbortSignal): Promise<void> {
    await this.#untilServing(pid, signal, (served) =>
      ports.every((port) => port.protocol === "sctp" || served.has(servedKey(port))),
    );
  }

  /** The same for one of these, as "tcp/80": a program need not listen wherever its image says it might. */
  async untilOneServed(pid: number, ports: readonly string[], signal: AbortSignal): Promise<void> {
    await this.#untilServing(pid, signal, (served) => ports.some((port) => served.has(port)));
  }

  async #untilServing(
    pid: number,
    signal: AbortSignal,
    isServing: (served: ReadonlySet<string>) => boolean,
  ): Promise<void> {
    await this.#look(pid, SERVING_MS_MAX, signal, async () => {
      const sockets = await this.#reader.sockets(pid);
      return sockets === undefined || isServing(sockets.served) ? "over" : "open";
    });
  }

  /** Those of the ports that IPv6 clients of this address reach now, as "tcp/80", sorted. */
  async ipv6Ports(
    pid: number,
    ports: readonly PortConfig[],
    address6: string,
  ): Promise<readonly string[]> {
    const sockets = await this.#reader.sockets(pid);
    const digits = addressBytes(address6)?.toString("hex");
    if (digits === undefined || sockets?.addresses6.has(digits) !== true) return [];
    const keys = ports.map(servedKey);
    return [...new Set(keys)].filter((key) => sockets.served6.has(key)).sort();
  }

  /**
   * Resolves when there are no connections to the ports, and no datagrams unread, or after `timeoutMs`. `served`: to
   * any port that the task listens on, as in a network where nothing is published.
   */
  async untilDrained(
    pid: number,
    ports: readonly PortConfig[] | "served",
    timeoutMs: number,
    onConnections: (count: number) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const portsOf = (protocol: "tcp" | "udp", sockets: TaskSockets | undefined) =>
      ports === "served"
        ? servedPorts(protocol, sockets)
        : ports.flatMap((port) => (port.protocol === protocol ? [port.targetPort] : []));
    let told = { count: 0, at: 0 };
    let silentSince = this.#clock.monotonic();
    await this.#look(pid, timeoutMs, signal, async () => {
      const sockets = await this.#reader.sockets(pid);
      let count = 0;
      for (const target of new Set(portsOf("tcp", sockets))) {
        count += sockets?.connections.get(target) ?? 0;
      }
      const now = this.#clock.monotonic();
      const isNews = told.count === 0 || (count !== told.count && now - told.at >= TELL_MS);
      if (count > 0 && isNews) {
        onConnections(count);
        told = { count, at: now };
      }
      const udp = portsOf("udp", sockets);
      if (udp.some((target) => sockets?.unread.has(target))) silentSince = now;
      const isSilent = udp.length === 0 || now - silentSince >= ANSWER_MS;
      if (count === 0 && isSilent) return "over";
      return isSilent ? "open" : "datagrams";
    });
  }

  async #look(
    pid: number,
    timeoutMs: number,
    signal: AbortSignal,
    find: () => Promise<Found>,
  ): Promise<void> {
    const deadline = this.#clock.monotonic() + timeoutMs;
    let last: { readonly found: Found; readonly counts: string | undefined; readonly at: number } =
      {
        ...{ found: "datagrams", counts: undefined, at: 0 },
      };
    while (!signal.aborted) {
      const startedAt = this.#clock.monotonic();
      const counts = await this.#reader.counts(pid);
      const isAsBefore =
        counts !== undefined && counts === last.counts && startedAt - last.at < STATES_MS;
      if (last.found === "datagrams" || !isAsBefore) {
        last = { found: await find(), counts, at: startedAt };
        if (last.found === "over") return;
      }
      const now = this.#clock.monotonic();
      if (now >= deadline) return;
      const pauseMs = Math.max(LOOK_MS, (now - startedAt) * PAUSE_FACTOR);
      await delay(this.#clock, "traffic", Math.min(pauseMs, deadline - now), signal).catch(
        () => {},
      );
    }
  }
}

function servedPorts(protocol: "tcp" | "udp", sockets: TaskSockets | undefined): readonly number[] {
  const prefix = `${protocol}/`;
  return [...(sockets?.served ?? [])].flatMap((key) =>
    key.startsWith(prefix) ? [Number(key.slice(prefix.length))] : [],
  );
}
