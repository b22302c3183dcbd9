/** The real network: one UDP socket and one TCP listener on the same address and port, 7946 by default. */
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { createConnection, createServer, isIPv6, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { messageOf, UnavailableError } from "../base/errors.ts";
import { addressBytes, addressOfBytes } from "../base/ip-address.ts";
import { type Address, addressText } from "./address.ts";
import { INBOUND_STREAMS_MAX, type Transport, type TransportHandlers } from "./transport.ts";

export const GOSSIP_PORT = 7_946;
/** Room for what arrives while the program is busy or sleeps; the kernel may grant less. */
const RECEIVE_BUFFER_BYTES = 1024 * 1024;
/** A port of 0 is any that is free for both; somebody may take it between the two binds. */
const BIND_TRIES = 5;

export class SocketTransport implements Transport {
  #address: Address;
  readonly #wanted: Address;
  #udp: UdpSocket | undefined;
  #tcp: Server | undefined;
  readonly #streams = new Set<Socket>();

  constructor(bind: Address) {
    this.#wanted = bind;
    this.#address = bind;
  }

  get address(): Address {
    return this.#address;
  }

  async start(handlers: TransportHandlers): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        await this.#bind(handlers);
        return;
      } catch (error) {
        await this.stop();
        if (this.#wanted.port === 0 && tries < BIND_TRIES) continue;
        const where = addressText(this.#wanted);
        throw new UnavailableError(`cannot listen on ${where} for gossip: ${messageOf(error)}`, {
          cause: error,
        });
      }
    }
  }

  async stop(): Promise<void> {
    const [udp, tcp] = [this.#udp, this.#tcp];
    this.#udp = undefined;
    this.#tcp = undefined;
    for (const stream of this.#streams) stream.destroy();
    await Promise.all([
      udp && new Promise<void>((resolve) => udp.close(() => resolve())),
      tcp?.listening && new Promise<void>((resolve) => tcp.close(() => resolve())),
    ]);
  }

  send(to: Address, bytes: Buffer): void {
    // A packet that cannot be sent is a packet that is lost: probes find out.
    this.#udp?.send(bytes, to.port, to.host, () => {});
  }

  dial(to: Address, signal: AbortSignal): Promise<Duplex> {
    return new Promise((resolve, reject) => {
      const localAddress = isUnspecified(this.#address.host) ? undefined : this.#address.host;
      const socket = createConnection({
        ...to,
        ...(localAddress !== undefined && { localAddress }),
        signal,
      });
      const fail = (cause: Error) => {
        reject(new UnavailableError(`${addressText(to)}: ${messageOf(cause)}`, { cause }));
      };
      socket.once("error", fail);
      socket.once("connect", () => {
        socket.off("error", fail);
        this.#keep(socket);
        resolve(socket);
      });
    });
  }

  async #bind(handlers: TransportHandlers): Promise<void> {
    const { host, port } = this.#wanted;
    const tcp = createServer({ allowHalfOpen: false }, (socket) => this.#accept(socket, handlers));
    this.#tcp = tcp;
    await new Promise<void>((resolve, reject) => {
      tcp.once("error", reject);
      tcp.listen({ host, port }, resolve);
    });
    tcp.removeAllListeners("error").on("error", (error) => handlers.onError(error));
    const bound = tcp.address();
    const boundPort = typeof bound === "object" && bound !== null ? bound.port : port;
    const udp = createSocket({
      type: isIPv6(host) ? "udp6" : "udp4",
      recvBufferSize: RECEIVE_BUFFER_BYTES,
    });
    this.#udp = udp;
    await new Promise<void>((resolve, reject) => {
      udp.once("error", reject);
      udp.bind(boundPort, host, resolve);
    });
    udp.removeAllListeners("error").on("error", (error) => handlers.onError(error));
    udp.on("message", (bytes, from) =>
      handlers.onPacket(canonical(from.address, from.port), bytes),
    );
    udp.unref();
    tcp.unref();
    this.#address = { host, port: boundPort };
  }

  #accept(socket: Socket, handlers: TransportHandlers): void {
    if (this.#streams.size >= INBOUND_STREAMS_MAX) {
      socket.destroy();
      return;
    }
    this.#keep(socket);
    handlers.onStream(canonical(socket.remoteAddress ?? "", socket.remotePort ?? 0), socket);
  }

  #keep(socket: Socket): void {
    this.#streams.add(socket);
    // Whoever reads it sees its close; a reset says no more than that.
    socket.on("error", () => {});
    socket.on("close", () => this.#streams.delete(socket));
  }
}

/** One text for one address: IPv6 shortened, an IPv4-mapped one as IPv4. */
function canonical(host: string, port: number): Address {
  const bytes = addressBytes(host);
  return { host: (bytes && addressOfBytes(bytes)) ?? host, port };
}

function isUnspecified(host: string): boolean {
  return host === "0.0.0.0" || host === "::";
}
