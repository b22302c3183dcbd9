/** The binder of the real host. */
import { Socket as DatagramSocket } from "node:dgram";
import { Server } from "node:net";
import type { Clock } from "../../base/clock.ts";
import { SystemError } from "../../base/errors.ts";
import type { Binder } from "./binder.ts";
import { adoptTCP, bindTCP, type Splices } from "./tcp-port.ts";
import { adoptUDP, bindUDP } from "./udp-port.ts";

export function systemBinder(clock: Clock, splices: Splices): Binder {
  return {
    bind: ({ protocol, port }) =>
      protocol === "tcp" ? bindTCP(port, splices) : bindUDP(port, clock),
    adopt({ protocol, port }, socket) {
      if (protocol === "tcp" && socket instanceof Server) return adoptTCP(port, socket, splices);
      if (protocol === "udp" && socket instanceof DatagramSocket) {
        return adoptUDP(port, socket, clock);
      }
      throw new SystemError(`what came for port ${port}/${protocol} is no socket of its kind`);
    },
  };
}
