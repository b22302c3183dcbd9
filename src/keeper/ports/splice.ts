/**
 * Joins two TCP connections as if they were one: bytes with backpressure, each direction's end by itself,
 * and a reset of one as a reset of the other.
 */
import { connect, type Socket } from "node:net";
import { SPLICE_HOST } from "./binder.ts";

/** A peer that vanished without a word is noticed after this long in silence. */
const KEEPALIVE_MS = 60_000;

/** Leads the client to the port at 127.0.0.1; calls `onEnd` once, when nothing of it is left. */
export function splice(client: Socket, port: number, onEnd: () => void): void {
  const server = connect({ host: SPLICE_HOST, port, allowHalfOpen: true, noDelay: true });
  client.setNoDelay(true);
  client.setKeepAlive(true, KEEPALIVE_MS);
  server.setKeepAlive(true, KEEPALIVE_MS);

  // Whatever ends one side other than by its own end (refused, reset, timed out) is a reset to the other.
  client.on("error", () => server.resetAndDestroy());
  server.on("error", () => client.resetAndDestroy());
  server.on("connect", () => {
    client.pipe(server);
    server.pipe(client);
  });

  let open = 2;
  const onClose = () => {
    open -= 1;
    if (open === 0) onEnd();
  };
  client.on("close", onClose);
  server.on("close", onClose);
}
