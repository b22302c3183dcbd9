/** The binder of the real host. */
import type { Clock } from "../../base/clock.ts";
import type { Binder } from "./binder.ts";
import { bindTCP, type Splices } from "./tcp-port.ts";
import { bindUDP } from "./udp-port.ts";

export function systemBinder(clock: Clock, splices: Splices): Binder {
  return {
    bind: ({ protocol, port }) =>
      protocol === "tcp" ? bindTCP(port, splices) : bindUDP(port, clock),
  };
}
