/** A held TCP port: a listener on every address of the host that splices IPv6 clients and resets IPv4 ones. */
import { createServer, type Server, type Socket } from "node:net";
import { AssertionFault } from "../../base/assert.ts";
import { type BoundPort, isIPv4Client, lacksAddress } from "./binder.ts";
import { splice } from "./splice.ts";

/** Connections spliced at a time, over all ports; one more is reset at once. */
export const SPLICES_MAX = 8_192;

/** Connections that the kernel keeps until they are accepted; one more is the client's to retry. */
const BACKLOG = 1_024;

/** Counts the splices of all ports against their bound, and ends them when the keeper must. */
export class Splices {
  readonly #clients = new Set<Socket>();
  #onIdle: (() => void) | undefined;

  admit(client: Socket, port: number): void {
    if (this.#clients.size >= SPLICES_MAX) {
      client.resetAndDestroy();
      return;
    }
    this.#clients.add(client);
    splice(client, port, () => {
      this.#clients.delete(client);
      if (this.#clients.size === 0) this.#onIdle?.();
    });
  }

  /** Resolves when the last one has ended by itself. */
  async idle(): Promise<void> {
    if (this.#clients.size > 0) await new Promise<void>((resolve) => (this.#onIdle = resolve));
  }

  reset(): void {
    for (const client of this.#clients) client.resetAndDestroy();
  }
}

export async function bindTCP(port: number, splices: Splices): Promise<BoundPort> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
  serveTCP(server, port, splices);
  try {
    await listen(server, port, "::");
  } catch (error) {
    if (!lacksAddress(error)) throw error;
    // The system has no IPv6: then IPv4 alone is all there is to hold.
    await listen(server, port, "0.0.0.0");
  }
  return bound(server);
}

/** A listener that came from another process: its handle goes into a server of the right kind. */
export function adoptTCP(port: number, from: Server, splices: Splices): BoundPort {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
  serveTCP(server, port, splices);
  server.on("error", () => {});
  server.listen(from);
  return bound(server);
}

function serveTCP(server: Server, port: number, splices: Splices): void {
  server.on("connection", (client: Socket) => {
    // A connection may be gone by now; that is no news to anybody.
    client.on("error", () => {});
    // Also what keeps a splice without a rule from leading to itself for ever.
    if (isIPv4Client(client.remoteAddress)) client.resetAndDestroy();
    else splices.admit(client, port);
  });
}

function bound(server: Server): BoundPort {
  return {
    sockets: [server],
    adopt() {
      throw new AssertionFault("a TCP port has one socket");
    },
    close: () =>
      new Promise((resolve) => {
        // Does not wait for its connections: they finish on their own.
        server.close();
        setImmediate(resolve);
      }),
  };
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const onListening = () => {
      server.off("error", onError);
      // Accepting can fail for want of file descriptors; the listener stays, and so does the port.
      server.on("error", () => {});
      resolve();
    };
    const onError = (error: Error) => {
      server.off("listening", onListening);
      reject(error);
    };
    server.once("error", onError).once("listening", onListening);
    server.listen({ port, host, backlog: BACKLOG, exclusive: true });
  });
}
