/** Where a member is heard: an IP address and a port, on the wire 4 or 16 bytes and a number. */
import { withPort } from "../base/host-port.ts";

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** One text for one address, for keys and for logs. */
export function addressText({ host, port }: Address): string {
  return withPort(host, port);
}

export function sameAddress(a: Address, b: Address): boolean {
  return a.port === b.port && a.host === b.host;
}
