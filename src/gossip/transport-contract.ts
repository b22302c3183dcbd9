/** What every transport does, as tests: the same suite runs on the in-memory and on the real one. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { test } from "node:test";
import { UnavailableError } from "../base/errors.ts";
import type { Address } from "./address.ts";
import type { Transport, TransportHandlers } from "./transport.ts";

class Listener implements TransportHandlers {
  readonly #packets: { from: Address; bytes: Buffer }[] = [];
  #wake: (() => void) | undefined;
  streams: Duplex[] = [];
  onStreamServed: (stream: Duplex) => void = () => {};

  onPacket(from: Address, bytes: Buffer): void {
    this.#packets.push({ from, bytes });
    this.#wake?.();
  }
  onStream(_from: Address, stream: Duplex): void {
    this.streams.push(stream);
    this.onStreamServed(stream);
  }
  onError(error: Error): void {
    throw error;
  }
  async packet(): Promise<{ from: Address; bytes: Buffer }> {
    while (this.#packets.length === 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const packet = this.#packets.shift();
    assert.ok(packet);
    return packet;
  }
}

export function transportContract(name: string, make: () => Transport): void {
  async function pair(use: (a: Transport, b: Transport, heard: Listener) => Promise<void>) {
    const [a, b] = [make(), make()];
    const heard = new Listener();
    await a.start(new Listener());
    await b.start(heard);
    try {
      await use(a, b, heard);
    } finally {
      await Promise.all([a.stop(), b.stop()]);
    }
  }
  const forever = new AbortController().signal;

  test(`${name}: a packet arrives as it was, from its sender's address`, async () => {
    await pair(async (a, b, heard) => {
      assert.notEqual(b.address.port, 0);
      const bytes = Buffer.from(Array.from({ length: 1_400 }, (_, index) => index & 255));
      a.send(b.address, bytes);
      assert.deepEqual(await heard.packet(), { from: a.address, bytes });
    });
  });

  test(`${name}: a stream carries bytes both ways and ends`, async () => {
    await pair(async (a, b, heard) => {
      heard.onStreamServed = (stream) => {
        stream.once("data", (bytes: Buffer) => stream.end(Buffer.from(bytes).reverse()));
      };
      const stream = await a.dial(b.address, forever);
      stream.write(Buffer.from("abc"));
      const [answer] = (await once(stream, "data")) as [Buffer];
      assert.equal(answer.toString(), "cba");
      stream.destroy();
    });
  });

  test(`${name}: nobody there is UnavailableError for a stream, silence for a packet`, async () => {
    await pair(async (a, b) => {
      await b.stop();
      a.send(b.address, Buffer.from("lost"));
      await assert.rejects(a.dial(b.address, forever), UnavailableError);
    });
  });

  test(`${name}: stop closes what is open, and twice is harmless`, async () => {
    await pair(async (a, b) => {
      const stream = await a.dial(b.address, forever);
      const closed = once(stream, "close");
      stream.resume();
      await a.stop();
      await a.stop();
      await closed;
      a.send(b.address, Buffer.from("from the dead"));
    });
  });
}
