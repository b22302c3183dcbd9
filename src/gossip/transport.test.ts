import assert from "node:assert/strict";
import { test } from "node:test";
import { transportContract } from "./transport-contract.ts";
import { MemoryNetwork } from "./transport-memory.ts";
import { SocketTransport } from "./transport-socket.ts";

const network = new MemoryNetwork();
let next = 1;
transportContract("memory", () => network.transport({ host: `10.0.0.${next++}`, port: 7_946 }));
transportContract("IPv4 sockets", () => new SocketTransport({ host: "127.0.0.1", port: 0 }));
transportContract("IPv6 sockets", () => new SocketTransport({ host: "::1", port: 0 }));

test("a taken port is named", async () => {
  const handlers = { onPacket() {}, onStream() {}, onError() {} };
  const first = new SocketTransport({ host: "127.0.0.1", port: 0 });
  await first.start(handlers);
  const second = new SocketTransport(first.address);
  await assert.rejects(
    second.start(handlers),
    new RegExp(`cannot listen on 127.0.0.1:${first.address.port} for gossip: .*EADDRINUSE`),
  );
  await first.stop();
});
