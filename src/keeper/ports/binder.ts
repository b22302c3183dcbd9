/** Binds one port for real; tests hold ports with another. */

import type { Socket } from "node:dgram";
import type { Server } from "node:net";
import { isOfIPv6 } from "../../base/ip-address.ts";
import type { PortRequest } from "../protocol.ts";

/** A listener for TCP, a bound socket for UDP: what one keeper can pass to another. */
export type PortSocket = Server | Socket;

export interface BoundPort {
  readonly sockets: readonly PortSocket[];
  /** Goes on with one more socket of this port that another keeper bound. */
  adopt(socket: PortSocket): void;
  /** Lets go of it; what it has accepted already goes on. */
  close(): Promise<void>;
}

export interface Binder {
  /** Rejects with the system's error (`code` EADDRINUSE …) when some process of the host has the port. */
  bind(request: PortRequest): Promise<BoundPort>;
  /** Goes on with a socket that another keeper bound; at once, so that nothing arrives in between. */
  adopt(request: PortRequest, socket: PortSocket): BoundPort;
}

/** The host has no such address, or none of its family. */
export function lacksAddress(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "EAFNOSUPPORT" || code === "EADDRNOTAVAIL";
}

/** Where a relayed client is led to: the kernel's rules balance what the host sends there. */
export const SPLICE_HOST = "127.0.0.1";

/** IPv4 clients are the kernel's. One that arrives here found no rule. */
export function isIPv4Client(address: string | undefined): boolean {
  return address === undefined || !isOfIPv6(address) || address.startsWith("::ffff:");
}
