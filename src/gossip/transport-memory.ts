/** Members in one process: packets are handed over as they are, connections are pairs of streams. */
import { type Duplex, duplexPair } from "node:stream";
import { UnavailableError } from "../base/errors.ts";
import { type Address, addressText } from "./address.ts";
import type { Transport, TransportHandlers } from "./transport.ts";

/** Who is where; tests take nodes off it to cut them off. */
export class MemoryNetwork {
  readonly #nodes = new Map<string, TransportHandlers>();
  /** Says between whom anything arrives; all, unless a test says otherwise. */
  passes: (from: Address, to: Address) => boolean = () => true;

  /** The same for packets alone, as where a port is open for connections only. */
  packetPasses: (from: Address, to: Address) => boolean = () => true;

  transport(address: Address): Transport {
    return new MemoryTransport(this, address);
  }
  attach(address: Address, handlers: TransportHandlers): void {
    this.#nodes.set(addressText(address), handlers);
  }
  detach(address: Address): void {
    this.#nodes.delete(addressText(address));
  }
  at(from: Address, to: Address): TransportHandlers | undefined {
    return this.passes(from, to) ? this.#nodes.get(addressText(to)) : undefined;
  }
}

class MemoryTransport implements Transport {
  readonly address: Address;
  readonly #network: MemoryNetwork;
  readonly #streams = new Set<Duplex>();
  #running = false;

  constructor(network: MemoryNetwork, address: Address) {
    this.#network = network;
    this.address = address;
  }

  start(handlers: TransportHandlers): Promise<void> {
    this.#running = true;
    this.#network.attach(this.address, {
      ...handlers,
      onPacket: (from, bytes) => handlers.onPacket(from, bytes),
      onStream: (from, stream) => {
        this.#keep(stream);
        handlers.onStream(from, stream);
      },
    });
    return Promise.resolve();
  }

  stop(): Promise<void> {
    this.#running = false;
    this.#network.detach(this.address);
    for (const stream of this.#streams) stream.destroy();
    return Promise.resolve();
  }

  send(to: Address, bytes: Buffer): void {
    if (!this.#running) return;
    const copy = Buffer.from(bytes);
    // Never within the sender's own turn, as on a real network.
    setImmediate(() => {
      if (!this.#network.packetPasses(this.address, to)) return;
      this.#network.at(this.address, to)?.onPacket(this.address, copy);
    });
  }

  dial(to: Address, signal: AbortSignal): Promise<Duplex> {
    const handlers = this.#running ? this.#network.at(this.address, to) : undefined;
    if (handlers === undefined || signal.aborted) {
      return Promise.reject(new UnavailableError(`${addressText(to)}: connection refused`));
    }
    const [near, far] = duplexPair();
    this.#keep(near);
    // A pair knows no end of the other side but its close.
    near.on("close", () => far.destroy());
    far.on("close", () => near.destroy());
    setImmediate(() => handlers.onStream(this.address, far));
    return Promise.resolve(near);
  }

  #keep(stream: Duplex): void {
    this.#streams.add(stream);
    stream.on("error", () => {});
    stream.on("close", () => this.#streams.delete(stream));
  }
}
