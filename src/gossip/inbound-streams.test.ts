import assert from "node:assert/strict";
import { once } from "node:events";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { INBOUND_BYTES_MAX, InboundStreams, STREAMS_PER_HOST_MAX } from "./inbound-streams.ts";

test("one host has so many connections and no more; another's are its own, and a closed one makes room", async () => {
  const inbound = new InboundStreams();
  const all = Array.from({ length: STREAMS_PER_HOST_MAX }, () => new PassThrough());
  for (const stream of all) assert.notEqual(inbound.add("10.0.0.1", stream), undefined);
  const oneMore = new PassThrough();
  assert.equal(inbound.add("10.0.0.1", oneMore), undefined);
  assert.ok(oneMore.destroyed);
  const other = new PassThrough();
  const id = inbound.add("10.0.0.2", other);
  assert.equal(id !== undefined && inbound.get(id), other);
  all[0]?.destroy();
  assert.ok(all[0] !== undefined);
  await once(all[0], "close");
  assert.notEqual(inbound.add("10.0.0.1", new PassThrough()), undefined);
});

test("what is not whole is bounded over all of them: who holds most goes first", async () => {
  const inbound = new InboundStreams();
  const add = (host: string) => {
    const stream = new PassThrough();
    return { stream, id: inbound.add(host, stream) ?? 0 };
  };
  const member = add("10.0.0.1");
  inbound.hold(member.id, 100_000);
  const strangers = Array.from({ length: 8 }, (_, index) => add(`10.0.9.${index}`));
  const share = Math.ceil(INBOUND_BYTES_MAX / strangers.length);
  for (const { id } of strangers) inbound.hold(id, share);
  const gone = strangers.filter(({ stream }) => stream.destroyed);
  assert.equal(gone.length, 1);
  // What it held is free again: once, though it closes only later.
  await once(gone[0]?.stream ?? member.stream, "close");
  const late = add("10.0.9.99");
  inbound.hold(late.id, share - 200_000);
  assert.equal(strangers.filter(({ stream }) => stream.destroyed).length, 1);
  inbound.hold(member.id, 200_000);
  assert.equal(strangers.filter(({ stream }) => stream.destroyed).length, 2);
  assert.ok(!member.stream.destroyed);
  for (const { id } of strangers) inbound.hold(id, INBOUND_BYTES_MAX);
  assert.ok(strangers.every(({ stream }) => stream.destroyed));
  assert.ok(!member.stream.destroyed);
});
