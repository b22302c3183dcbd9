/** How members reach each other: datagrams that may be lost, and connections. */
import type { Duplex } from "node:stream";
import type { Address } from "./address.ts";

export interface TransportHandlers {
  onPacket(from: Address, bytes: Buffer): void;
  /** Somebody has connected; the receiver ends or destroys the stream. */
  onStream(from: Address, stream: Duplex): void;
  /** Something of this host's is wrong; the transport goes on as far as it can. */
  onError(error: Error): void;
}

export interface Transport {
  /** Where others reach this one; complete after `start`. */
  readonly address: Address;
  start(handlers: TransportHandlers): Promise<void>;
  stop(): Promise<void>;
  /** Fire and forget: who needs an answer waits for it. */
  send(to: Address, bytes: Buffer): void;
  /** A connection to a member. Rejects with UnavailableError when it cannot be made. */
  dial(to: Address, signal: AbortSignal): Promise<Duplex>;
}

/** Connections that others have open here at one time; at the bound a new one is closed at once. */
export const INBOUND_STREAMS_MAX = 128;
