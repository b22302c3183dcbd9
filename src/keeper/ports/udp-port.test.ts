import assert from "node:assert/strict";
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { once } from "node:events";
import { test } from "node:test";
import { FakeClock } from "../../base/clock.ts";
import { silentLogger } from "../../base/logger.ts";
import type { BoundPort } from "./binder.ts";
import { IPv6Addresses } from "./ipv6-addresses.ts";
import { adoptUDP, bindUDP, UDP_IDLE_MS } from "./udp-port.ts";

/** In the kernel's format: ::1 on lo. */
const LOOPBACK = "00000000000000000000000000000001 01 80 10 80       lo\n";

/**
 * A held port without its socket for IPv4, so that a server can have the same port at 127.0.0.1, where the
 * kernel's rules lead on a real host.
 */
class Rig implements AsyncDisposable {
  readonly clock = new FakeClock();
  readonly server: Socket;
  readonly held: BoundPort;
  readonly port: number;
  readonly #clients: Socket[] = [];

  private constructor(server: Socket, front: Socket) {
    this.server = server;
    this.port = server.address().port;
    const addresses = new IPv6Addresses(this.clock, () => LOOPBACK);
    const components = { clock: this.clock, log: silentLogger, addresses };
    this.held = adoptUDP(this.port, front, components);
  }

  static async create(): Promise<Rig> {
    const server = createSocket("udp4");
    server.bind(0, "127.0.0.1");
    await once(server, "listening");
    const front = createSocket({ type: "udp6", ipv6Only: true });
    front.bind(server.address().port, "::1");
    await once(front, "listening");
    return new Rig(server, front);
  }

  client(): Socket {
    const socket = createSocket("udp6");
    this.#clients.push(socket);
    return socket;
  }

  /** Resolves with whom the server sees, after it has answered with what it got. */
  async ask(client: Socket, text: string): Promise<number> {
    client.send(text, this.port, "::1");
    const [data, from] = (await once(this.server, "message")) as [Buffer, RemoteInfo];
    this.server.send(data, from.port, from.address);
    const [answer, source] = (await once(client, "message")) as [Buffer, RemoteInfo];
    assert.equal(answer.toString(), text);
    assert.deepEqual([source.address, source.port], ["::1", this.port]);
    return from.port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.held.close();
    for (const socket of [...this.#clients, this.server]) socket.close();
  }
}

test("each client has a socket of its own, and answers come from where it asked", async () => {
  await using rig = await Rig.create();
  const [first, second] = [rig.client(), rig.client()];
  const firstSeen = await rig.ask(first, "one");
  const secondSeen = await rig.ask(second, "two");
  assert.notEqual(firstSeen, secondSeen);
  assert.equal(await rig.ask(first, "three"), firstSeen);
});

test("a silent client is forgotten, one that speaks is not", async () => {
  await using rig = await Rig.create();
  const [silent, speaking] = [rig.client(), rig.client()];
  const before = await rig.ask(silent, "one");
  rig.clock.advance(UDP_IDLE_MS / 2);
  const kept = await rig.ask(speaking, "two");
  rig.clock.advance(UDP_IDLE_MS / 2 + 5_000);
  assert.equal(await rig.ask(speaking, "three"), kept);
  assert.notEqual(await rig.ask(silent, "four"), before);
  rig.clock.advance(2 * UDP_IDLE_MS);
  const scan = ["keeper.addresses.scan"];
  assert.deepEqual(rig.clock.pending(), scan, "nobody is left to look after");
});

test("a port that is taken at one address is taken, and nothing of it is held", async () => {
  const clock = new FakeClock();
  const addresses = new IPv6Addresses(clock, () => LOOPBACK);
  const components = { clock, log: silentLogger, addresses };
  for (const options of [{ type: "udp6", ipv6Only: true }, { type: "udp4" }] as const) {
    const other = createSocket(options);
    other.bind(0, options.type === "udp6" ? "::1" : "127.0.0.1");
    await once(other, "listening");
    const { port } = other.address();
    await assert.rejects(bindUDP(port, components), { code: "EADDRINUSE" });
    other.close();
    await once(other, "close");
    const bound = await bindUDP(port, components);
    for (const type of ["udp6", "udp4"] as const) {
      const thief = createSocket(type);
      thief.bind(port);
      const [error] = (await once(thief, "error")) as [NodeJS.ErrnoException];
      assert.equal(error.code, "EADDRINUSE", type);
      thief.close();
    }
    await bound.close();
  }
});
