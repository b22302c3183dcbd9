import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { test } from "node:test";
import { splice } from "./splice.ts";

/** A server at 127.0.0.1 and a client that reaches it through a splice. */
class Rig implements AsyncDisposable {
  readonly server: Socket;
  readonly client: Socket;
  /** Resolves when the splice has ended. */
  readonly ended: Promise<void>;
  readonly #listeners: readonly Server[];

  private constructor(
    init: Pick<Rig, "server" | "client" | "ended">,
    listeners: readonly Server[],
  ) {
    this.server = init.server;
    this.client = init.client;
    this.ended = init.ended;
    this.#listeners = listeners;
  }

  static async create(): Promise<Rig> {
    const back = await listener();
    const front = await listener();
    const { promise: ended, resolve } = Promise.withResolvers<void>();
    front.on("connection", (socket: Socket) => splice(socket, portOf(back), resolve));
    const accepted = once(back, "connection") as Promise<[Socket]>;
    const client = connect({ port: portOf(front), host: "127.0.0.1", allowHalfOpen: true });
    const [server] = await accepted;
    for (const socket of [client, server]) socket.on("error", () => {});
    return new Rig({ server, client, ended }, [back, front]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of [this.client, this.server]) socket.destroy();
    await this.ended;
    for (const listening of this.#listeners) listening.close();
  }
}

test("bytes go both ways, and each direction ends by itself", async () => {
  await using rig = await Rig.create();
  rig.client.end("question");
  assert.equal(await textOf(rig.server), "question");
  // The client has ended its half long ago; the answer still arrives.
  rig.server.end("answer");
  assert.equal(await textOf(rig.client), "answer");
  await rig.ended;
});

test("a reset of either side resets the other", async () => {
  for (const [from, to] of [
    ["client", "server"],
    ["server", "client"],
  ] as const) {
    await using rig = await Rig.create();
    // Both directions have carried something, so the splice stands.
    rig.client.write("x");
    await once(rig.server, "data");
    rig.server.write("y");
    await once(rig.client, "data");
    const reset = once(rig[to], "error") as Promise<[NodeJS.ErrnoException]>;
    rig[from].resetAndDestroy();
    assert.equal((await reset)[0].code, "ECONNRESET", `${from} to ${to}`);
    await rig.ended;
  }
});

test("nobody at 127.0.0.1: the client is reset at once", async () => {
  const unused = await listener();
  const port = portOf(unused);
  unused.close();
  await once(unused, "close");
  const front = await listener();
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  front.on("connection", (socket: Socket) => splice(socket, port, resolve));
  const client = connect(portOf(front), "127.0.0.1");
  const [error] = (await once(client, "error")) as [NodeJS.ErrnoException];
  assert.equal(error.code, "ECONNRESET");
  await ended;
  front.close();
});

test("a side that does not read holds the other back", async () => {
  await using rig = await Rig.create();
  const chunk = Buffer.alloc(1024 * 1024);
  const most = 64;
  let written = 0;
  // Until the system's buffers and the splice's are full: far less than this.
  while (written < most && (await writes(rig.client, chunk))) written += 1;
  assert.ok(written < most, `${written} MiB were taken in though nobody reads`);
  let received = 0;
  rig.server.on("data", (data: Buffer) => {
    received += data.length;
  });
  rig.client.end();
  await once(rig.server, "end");
  assert.equal(received, (written + 1) * chunk.length);
});

/** Whether the socket took it before the turn in which nothing moves any more. */
async function writes(socket: Socket, chunk: Buffer): Promise<boolean> {
  const flushed = new Promise<boolean>((resolve) => socket.write(chunk, () => resolve(true)));
  const stuck = (async () => {
    // Loopback moves a chunk within a few turns of the event loop; this many are plenty.
    for (let turn = 0; turn < 2_000; turn++) await new Promise((next) => setImmediate(next));
    return false;
  })();
  return Promise.race([flushed, stuck]);
}

async function listener(): Promise<Server> {
  const server = createServer({ allowHalfOpen: true });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

async function textOf(socket: Socket): Promise<string> {
  let text = "";
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) text += String(chunk);
  return text;
}
