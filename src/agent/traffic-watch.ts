/**
 * The two moments of a task that depend on its traffic: its ports are served, so that connections may be led to
 * it; its connections are done, so that it may be stopped. Looked at in short steps, each wait bounded.
 */
import { type Clock, delay } from "../base/clock.ts";
import type { PortConfig } from "../cluster/objects.ts";
import type { ReadTaskSockets, TaskSockets } from "./task-sockets.ts";

/**
 * A task that does not serve what it publishes within this time runs all the same: Docker would have said
 * so at once, and a health check is the way to say more.
 */
export const SERVING_MS_MAX = 5_000;
/** Between two looks. */
const LOOK_MS = 50;
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
  readonly readSockets: ReadTaskSockets;
  readonly clock: Clock;
}

export class TrafficWatch {
  readonly #readSockets: ReadTaskSockets;
  readonly #clock: Clock;

  constructor({ readSockets, clock }: TrafficWatchComponents) {
    this.#readSockets = readSockets;
    this.#clock = clock;
  }

  /** Resolves when the ports are served, at once where nobody can tell. */
  async untilServed(pid: number, ports: readonly PortConfig[], signal: AbortSignal): Promise<void> {
    await this.#look(SERVING_MS_MAX, signal, async () => {
      const sockets = await this.#readSockets(pid);
      if (sockets === undefined) return true;
      return ports.every(
        ({ protocol, targetPort }) =>
          protocol === "sctp" || sockets.served.has(`${protocol}/${targetPort}`),
      );
    });
  }

  /**
   * Resolves when there are no connections to the ports, and no datagrams unread, or after `timeoutMs`. `served`: to
   * any port that the task listens on for TCP, as in a network where nothing is published.
   */
  async untilDrained(
    pid: number,
    ports: readonly PortConfig[] | "served",
    timeoutMs: number,
    onConnections: (count: number) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const portsOf = (wanted: string) =>
      new Set(
        ports === "served"
          ? []
          : ports.flatMap((port) => (port.protocol === wanted ? [port.targetPort] : [])),
      );
    const [published, udp] = [portsOf("tcp"), portsOf("udp")];
    let told = { count: 0, at: 0 };
    let silentSince = this.#clock.monotonic();
    await this.#look(timeoutMs, signal, async () => {
      const sockets = await this.#readSockets(pid);
      let count = 0;
      const tcp = ports === "served" ? servedTCP(sockets) : published;
      for (const target of tcp) count += sockets?.connections.get(target) ?? 0;
      const now = this.#clock.monotonic();
      const isNews = told.count === 0 || (count !== told.count && now - told.at >= TELL_MS);
      if (count > 0 && isNews) {
        onConnections(count);
        told = { count, at: now };
      }
      if ([...udp].some((target) => sockets?.unread.has(target))) silentSince = now;
      const isSilent = udp.size === 0 || now - silentSince >= ANSWER_MS;
      return count === 0 && isSilent;
    });
  }

  async #look(
    timeoutMs: number,
    signal: AbortSignal,
    isOver: () => Promise<boolean>,
  ): Promise<void> {
    const deadline = this.#clock.monotonic() + timeoutMs;
    while (!signal.aborted) {
      const startedAt = this.#clock.monotonic();
      if (await isOver()) return;
      const now = this.#clock.monotonic();
      if (now >= deadline) return;
      const pauseMs = Math.max(LOOK_MS, (now - startedAt) * PAUSE_FACTOR);
      await delay(this.#clock, "traffic", Math.min(pauseMs, deadline - now), signal).catch(
        () => {},
      );
    }
  }
}

function servedTCP(sockets: TaskSockets | undefined): readonly number[] {
  return [...(sockets?.served ?? [])].flatMap((key) =>
    key.startsWith("tcp/") ? [Number(key.slice("tcp/".length))] : [],
  );
}
