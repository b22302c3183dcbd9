import assert from "node:assert/strict";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { Socket as StreamSocket } from "node:net";
import { test } from "node:test";
import { FakeClock } from "../../base/clock.ts";
import { seededRandom } from "../../base/random.ts";
import { EngineUpstream, PENDING_MAX } from "./engine-upstream.ts";

/** A resolver of the Engine's that answers when it is told to. */
class FakeEngine implements AsyncDisposable {
  readonly asked: { readonly data: Buffer; readonly port: number }[] = [];
  readonly #socket: Socket = createSocket("udp4");
  readonly #clients: Socket[] = [];
  readonly clock = new FakeClock();
  readonly upstream = new EngineUpstream({
    sockets: {
      datagrams: async () => {
        const client = createSocket("udp4");
        this.#clients.push(client);
        client.connect(this.#socket.address().port, "127.0.0.1");
        await once(client, "connect");
        return client;
      },
      stream: () => new StreamSocket(),
    },
    clock: this.clock,
    random: seededRandom(1),
  });

  static async create(): Promise<FakeEngine> {
    const engine = new FakeEngine();
    engine.#socket.on("message", (data, { port }) => engine.asked.push({ data, port }));
    engine.#socket.bind(0, "127.0.0.1");
    await once(engine.#socket, "listening");
    return engine;
  }

  /** Resolves when so many queries have come. */
  async heard(count: number): Promise<void> {
    while (this.asked.length < count) await once(this.#socket, "message");
  }

  send(data: Buffer, port: number): void {
    this.#socket.send(data, port, "127.0.0.1");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.upstream.close();
    this.#socket.close();
    await once(this.#socket, "close");
  }
}

const queryOf = (id: number, text: string) =>
  Buffer.concat([Buffer.from([id >> 8, id & 0xff]), Buffer.from(text)]);

test("each asker gets its own answer under its own id, however they cross", async () => {
  await using engine = await FakeEngine.create();
  const first = engine.upstream.exchange(queryOf(7, "first"), "udp");
  const second = engine.upstream.exchange(queryOf(7, "second"), "udp");
  await engine.heard(2);
  for (const { data, port } of engine.asked.toReversed()) {
    engine.send(Buffer.from([1]), port);
    engine.send(data, port);
    engine.send(data, port);
  }
  assert.deepEqual(await first, queryOf(7, "first"));
  assert.deepEqual(await second, queryOf(7, "second"));
  assert.notDeepEqual(engine.asked[0]?.data.subarray(0, 2), engine.asked[1]?.data.subarray(0, 2));
});

test("a silent Engine is waited for so long, and by so many", async () => {
  await using engine = await FakeEngine.create();
  const waiting = Array.from({ length: PENDING_MAX }, (_, at) =>
    engine.upstream.exchange(queryOf(at, "slow"), "udp").catch(String),
  );
  const oneMore = engine.upstream.exchange(queryOf(1, "one more"), "udp");
  await assert.rejects(oneMore, /too many names/);
  await engine.heard(1);
  engine.clock.advance(9_000);
  engine.clock.advance(2_000);
  assert.ok((await Promise.all(waiting)).every((error) => /is slow/.test(String(error))));
  assert.deepEqual(engine.clock.pending(), []);
  const after = engine.upstream.exchange(queryOf(2, "after"), "udp");
  engine.upstream.close();
  await assert.rejects(after, /has gone/);
});
