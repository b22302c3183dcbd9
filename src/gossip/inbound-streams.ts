/**
 * Connections that others have opened here, and what they may cost. Strangers can open them too, and nothing of what they
 * send can be judged before all of it has come.
 */
import type { Duplex } from "node:stream";

/** Of one host at one time, so that no stranger takes all; at the bound a new one is closed at once. A member needs one or two. */
export const STREAMS_PER_HOST_MAX = 16;
/** Of messages that are not whole, in all; at the bound the stream that holds most of it is closed. */
export const INBOUND_BYTES_MAX = 16 * 1024 * 1024;

interface Inbound {
  readonly host: string;
  readonly stream: Duplex;
  bytes: number;
}

export class InboundStreams {
  readonly #streams = new Map<number, Inbound>();
  #next = 1;
  #bytes = 0;

  /** What it goes by from now on until it closes; undefined for one that was closed at once. */
  add(host: string, stream: Duplex): number | undefined {
    const ofHost = [...this.#streams.values()].filter((each) => each.host === host);
    if (ofHost.length >= STREAMS_PER_HOST_MAX) {
      stream.destroy();
      return undefined;
    }
    const id = this.#next++;
    this.#streams.set(id, { host, stream, bytes: 0 });
    stream.on("close", () => this.#forget(id));
    return id;
  }

  get(id: number): Duplex | undefined {
    return this.#streams.get(id)?.stream;
  }

  /** So many more bytes of it have come, and wait for the rest. */
  hold(id: number, bytes: number): void {
    const inbound = this.#streams.get(id);
    if (inbound === undefined) return;
    inbound.bytes += bytes;
    this.#bytes += bytes;
    if (this.#bytes <= INBOUND_BYTES_MAX) return;
    let [largest, most] = [id, inbound];
    for (const [other, each] of this.#streams) {
      if (each.bytes > most.bytes) [largest, most] = [other, each];
    }
    this.#forget(largest);
    most.stream.destroy();
  }

  #forget(id: number): void {
    this.#bytes -= this.#streams.get(id)?.bytes ?? 0;
    this.#streams.delete(id);
  }
}
