/**
 * A held UDP port: datagrams of IPv6 clients are relayed to the port at 127.0.0.1, each client's through a
 * socket of its own, so that the kernel tells the flows apart; IPv4 datagrams found no rule and are dropped.
 */
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import type { Clock, Timer } from "../../base/clock.ts";
import { type BoundPort, isIPv4Client, lacksIPv6, SPLICE_HOST } from "./binder.ts";

/** Clients of one port at a time; one more takes the place of the one that was silent longest. */
export const UDP_CLIENTS_MAX = 1_024;
/** A client that neither sent nor was answered for this long is forgotten. */
export const UDP_IDLE_MS = 30_000;
/** How often the silent ones are looked for. */
const SWEEP_MS = 5_000;
/** Datagrams kept while a client's socket is being made; more are dropped, as a full queue would. */
const PENDING_MAX = 16;

interface Relay {
  readonly socket: Socket;
  /** Undefined once connected. */
  pending: Buffer[] | undefined;
  usedAt: number;
}

export async function bindUDP(port: number, clock: Clock): Promise<BoundPort> {
  try {
    return new UDPPort(await bind(port, "udp6"), port, clock);
  } catch (error) {
    if (!lacksIPv6(error)) throw error;
    return new UDPPort(await bind(port, "udp4"), port, clock);
  }
}

/** A socket that came from another process, bound already. */
export function adoptUDP(port: number, socket: Socket, clock: Clock): BoundPort {
  return new UDPPort(socket, port, clock);
}

function bind(port: number, type: "udp4" | "udp6"): Promise<Socket> {
  const socket = createSocket({ type, ipv6Only: false });
  return new Promise((resolve, reject) => {
    socket.once("error", (error) => {
      socket.close();
      reject(error);
    });
    socket.bind({ port, exclusive: true }, () => {
      socket.removeAllListeners("error");
      resolve(socket);
    });
  });
}

class UDPPort implements BoundPort {
  readonly socket: Socket;
  readonly #port: number;
  readonly #clock: Clock;
  /** By client; the one that was silent longest comes first. */
  readonly #relays = new Map<string, Relay>();
  #sweep: Timer | undefined;

  constructor(socket: Socket, port: number, clock: Clock) {
    this.socket = socket;
    this.#port = port;
    this.#clock = clock;
    socket.on("message", (data, from) => this.#onDatagram(data, from));
    // An answer that cannot be sent is the client's to miss, as any lost datagram.
    socket.on("error", () => {});
  }

  async close(): Promise<void> {
    this.#sweep?.cancel();
    for (const key of this.#relays.keys()) this.#forget(key);
    await new Promise<void>((resolve) => this.socket.close(() => resolve()));
  }

  #onDatagram(data: Buffer, from: RemoteInfo): void {
    if (isIPv4Client(from.address)) return;
    const key = `${from.address} ${from.port}`;
    const relay = this.#relays.get(key) ?? this.#open(key, from);
    this.#touch(key, relay);
    if (relay.pending === undefined) relay.socket.send(data);
    else if (relay.pending.length < PENDING_MAX) relay.pending.push(data);
  }

  #open(key: string, client: RemoteInfo): Relay {
    if (this.#relays.size >= UDP_CLIENTS_MAX) {
      const [oldest] = this.#relays.keys();
      if (oldest !== undefined) this.#forget(oldest);
    }
    const socket = createSocket("udp4");
    const relay: Relay = { socket, pending: [], usedAt: 0 };
    socket.on("connect", () => {
      for (const data of relay.pending ?? []) socket.send(data);
      relay.pending = undefined;
    });
    socket.on("message", (data) => {
      this.#touch(key, relay);
      this.socket.send(data, client.port, client.address);
    });
    // Refused: no task answers there. The client's next datagram is balanced afresh.
    socket.on("error", () => this.#forget(key, relay));
    socket.connect(this.#port, SPLICE_HOST);
    this.#sweep ??= this.#clock.timer("keeper.udp.sweep", SWEEP_MS, () => this.#sweepIdle());
    return relay;
  }

  #touch(key: string, relay: Relay): void {
    relay.usedAt = this.#clock.monotonic();
    this.#relays.delete(key);
    this.#relays.set(key, relay);
  }

  #sweepIdle(): void {
    this.#sweep = undefined;
    const limit = this.#clock.monotonic() - UDP_IDLE_MS;
    for (const [key, relay] of this.#relays) {
      if (relay.usedAt > limit) break;
      this.#forget(key);
    }
    if (this.#relays.size === 0) return;
    this.#sweep = this.#clock.timer("keeper.udp.sweep", SWEEP_MS, () => this.#sweepIdle());
  }

  #forget(key: string, only?: Relay): void {
    const relay = this.#relays.get(key);
    if (relay === undefined || (only !== undefined && only !== relay)) return;
    this.#relays.delete(key);
    relay.socket.close();
  }
}
