/**
 * A held UDP port: datagrams of IPv6 clients are relayed to the port at 127.0.0.1, each client's through a
 * socket of its own, so that the kernel tells the flows apart; IPv4 datagrams found no rule and are dropped.
 *
 * It is bound at each IPv6 address of the host by itself, because an answer has to come from the address
 * that was asked, and a socket bound to all of them leaves that to the kernel's choice. Together with the
 * one for all of IPv4 these sockets keep every other process from the port.
 */
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import type { Clock, Timer } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import { type BoundPort, lacksAddress, type PortSocket, SPLICE_HOST } from "./binder.ts";
import type { IPv6Addresses } from "./ipv6-addresses.ts";

/** Clients of one port at a time; one more takes the place of the one that was silent longest. */
export const UDP_CLIENTS_MAX = 1_024;
/** A client that neither sent nor was answered for this long is forgotten. */
export const UDP_IDLE_MS = 30_000;
/** How often the silent ones are looked for. */
const SWEEP_MS = 5_000;
/** Datagrams kept while a client's socket is being made; more are dropped, as a full queue would. */
const PENDING_MAX = 16;

const ANY_IPV4 = "0.0.0.0";

export interface UDPPortComponents {
  readonly clock: Clock;
  readonly log: Logger;
  readonly addresses: IPv6Addresses;
}

interface Relay {
  /** Towards 127.0.0.1. */
  readonly socket: Socket;
  /** Where the client asked, and is answered from. */
  readonly local: Socket;
  /** Undefined once connected. */
  pending: Buffer[] | undefined;
  usedAt: number;
}

/** Rejects, and holds nothing, when the port is taken at any of the addresses. */
export async function bindUDP(port: number, components: UDPPortComponents): Promise<BoundPort> {
  const sockets: Socket[] = [];
  try {
    sockets.push(await bind(port, ANY_IPV4));
    for (const address of components.addresses.current()) {
      // It may have gone since it was listed.
      const socket = await bind(port, address).catch(unlessAddressLacks);
      if (socket !== undefined) sockets.push(socket);
    }
  } catch (error) {
    for (const socket of sockets) socket.close();
    throw error;
  }
  return new UDPPort(port, sockets, components);
}

/** Goes on with a socket that another process bound; the port's others follow by `adopt`. */
export function adoptUDP(port: number, socket: Socket, components: UDPPortComponents): BoundPort {
  return new UDPPort(port, [socket], components);
}

function bind(port: number, address: string): Promise<Socket> {
  const v4 = address === ANY_IPV4;
  const socket = createSocket({ type: v4 ? "udp4" : "udp6", ipv6Only: !v4 });
  return new Promise((resolve, reject) => {
    socket.once("error", (error) => {
      socket.close();
      reject(error);
    });
    socket.bind({ port, address, exclusive: true }, () => {
      socket.removeAllListeners("error");
      resolve(socket);
    });
  });
}

function unlessAddressLacks(error: unknown): undefined {
  if (!lacksAddress(error)) throw error;
}

class UDPPort implements BoundPort {
  readonly #port: number;
  readonly #components: UDPPortComponents;
  readonly #sockets = new Map<string, Socket>();
  /** By client; the one that was silent longest comes first. */
  readonly #relays = new Map<string, Relay>();
  readonly #unsubscribe: () => void;
  #sweep: Timer | undefined;
  #closed = false;

  constructor(port: number, sockets: readonly Socket[], components: UDPPortComponents) {
    this.#port = port;
    this.#components = components;
    for (const socket of sockets) this.adopt(socket);
    this.#unsubscribe = components.addresses.subscribe(() => void this.#follow());
  }

  get sockets(): readonly PortSocket[] {
    return [...this.#sockets.values()];
  }

  adopt(socket: PortSocket): void {
    const local = socket as Socket;
    const { address } = local.address();
    this.#sockets.set(address, local);
    // An answer that cannot be sent is the client's to miss, as any lost datagram.
    local.on("error", () => {});
    local.on("message", (data, from) => {
      if (address !== ANY_IPV4) this.#onDatagram(local, data, from);
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#unsubscribe();
    this.#sweep?.cancel();
    for (const key of this.#relays.keys()) this.#forget(key);
    const closed = [...this.#sockets.values()].map(
      (socket) => new Promise<void>((resolve) => socket.close(() => resolve())),
    );
    await Promise.all(closed);
  }

  /** After a change of the host's addresses: lets go of those that went, binds those that came. */
  async #follow(): Promise<void> {
    const { addresses, log } = this.#components;
    const current = new Set([ANY_IPV4, ...addresses.current()]);
    for (const [address, socket] of this.#sockets) {
      if (current.has(address)) continue;
      this.#sockets.delete(address);
      for (const [key, { local }] of this.#relays) if (local === socket) this.#forget(key);
      socket.close();
    }
    for (const address of current) {
      if (this.#sockets.has(address)) continue;
      try {
        const socket = await bind(this.#port, address);
        if (this.#closed || this.#sockets.has(address)) socket.close();
        else this.adopt(socket);
      } catch (error) {
        log.warn("cannot hold a port at a new address", { port: this.#port, address, error });
      }
    }
  }

  #onDatagram(local: Socket, data: Buffer, from: RemoteInfo): void {
    const key = `${from.address} ${from.port} ${local.address().address}`;
    const relay = this.#relays.get(key) ?? this.#open(key, local, from);
    this.#touch(key, relay);
    if (relay.pending === undefined) relay.socket.send(data);
    else if (relay.pending.length < PENDING_MAX) relay.pending.push(data);
  }

  #open(key: string, local: Socket, client: RemoteInfo): Relay {
    if (this.#relays.size >= UDP_CLIENTS_MAX) {
      const [oldest] = this.#relays.keys();
      if (oldest !== undefined) this.#forget(oldest);
    }
    const socket = createSocket("udp4");
    const relay: Relay = { socket, local, pending: [], usedAt: 0 };
    socket.on("connect", () => {
      for (const data of relay.pending ?? []) socket.send(data);
      relay.pending = undefined;
    });
    socket.on("message", (data) => {
      this.#touch(key, relay);
      local.send(data, client.port, client.address);
    });
    // Refused: no task answers there. The client's next datagram is balanced afresh.
    socket.on("error", () => this.#forget(key, relay));
    socket.connect(this.#port, SPLICE_HOST);
    this.#sweep ??= this.#nextSweep();
    return relay;
  }

  #touch(key: string, relay: Relay): void {
    relay.usedAt = this.#components.clock.monotonic();
    this.#relays.delete(key);
    this.#relays.set(key, relay);
  }

  #nextSweep(): Timer {
    const { clock } = this.#components;
    return clock.timer("keeper.udp.sweep", SWEEP_MS, () => {
      const limit = clock.monotonic() - UDP_IDLE_MS;
      for (const [key, relay] of this.#relays) {
        if (relay.usedAt > limit) break;
        this.#forget(key);
      }
      this.#sweep = this.#relays.size === 0 ? undefined : this.#nextSweep();
    });
  }

  #forget(key: string, only?: Relay): void {
    const relay = this.#relays.get(key);
    if (relay === undefined || (only !== undefined && only !== relay)) return;
    this.#relays.delete(key);
    relay.socket.close();
  }
}
