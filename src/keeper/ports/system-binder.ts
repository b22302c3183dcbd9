/** The binder of the real host. */
import { Socket as DatagramSocket } from "node:dgram";
import { Server } from "node:net";
import type { Clock } from "../../base/clock.ts";
import { SystemError } from "../../base/errors.ts";
import type { Logger } from "../../base/logger.ts";
import type { Binder } from "./binder.ts";
import { IPv6Addresses } from "./ipv6-addresses.ts";
import { adoptTCP, bindTCP, type Splices } from "./tcp-port.ts";
import { adoptUDP, bindUDP } from "./udp-port.ts";

export interface SystemBinderComponents {
  readonly clock: Clock;
  readonly log: Logger;
  readonly splices: Splices;
}

export function systemBinder({ clock, log, splices }: SystemBinderComponents): Binder {
  const udp = { clock, log, addresses: new IPv6Addresses(clock) };
  return {
    bind: ({ protocol, port }) =>
      protocol === "tcp" ? bindTCP(port, splices) : bindUDP(port, udp),
    adopt({ protocol, port }, socket) {
      if (protocol === "tcp" && socket instanceof Server) return adoptTCP(port, socket, splices);
      if (protocol === "udp" && socket instanceof DatagramSocket)
        return adoptUDP(port, socket, udp);
      throw new SystemError(`what came for port ${port}/${protocol} is no socket of its kind`);
    },
  };
}
