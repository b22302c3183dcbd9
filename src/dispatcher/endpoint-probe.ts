/**
 * Asks an endpoint itself whether it is there, when the daemon of its node cannot be reached: a daemon that
 * was killed or is being upgraded must not cost its healthy tasks, and a dead host must not keep its own.
 */
import { connect } from "node:net";

export interface EndpointProbe {
  /** Whether anything at this address of the ingress network answers. Never rejects. */
  answers(address: string): Promise<boolean>;
}

/** No service is published there, so no task sees the question; its kernel answers with a reset. */
const PROBE_PORT = 1;
const PROBE_TIMEOUT_MS = 400;
/** At once, since a lost SYN is sent again only after a second. */
const PROBE_TRIES = 2;

/** Over the mesh's own path. An acceptance or a refusal is an answer; silence or "no route" is none. */
export const tcpEndpointProbe: EndpointProbe = {
  async answers(address) {
    const tries = Array.from({ length: PROBE_TRIES }, () => knock(address));
    return (await Promise.all(tries)).includes(true);
  },
};

function knock(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port: PROBE_PORT, timeout: PROBE_TIMEOUT_MS });
    const end = (answered: boolean) => {
      socket.destroy();
      resolve(answered);
    };
    socket.once("connect", () => end(true));
    // An answer may have come while this process slept: it is read before the timer's word is taken.
    socket.once("timeout", () => setImmediate(() => end(false)));
    socket.once("error", (error: NodeJS.ErrnoException) => end(error.code === "ECONNREFUSED"));
  });
}
