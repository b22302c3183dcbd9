import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { test } from "node:test";
import { decode, encode, type Packet } from "dns-packet";
import { FakeClock } from "../../base/clock.ts";
import { freePlace } from "../../base/free-place.ts";
import { seededRandom } from "../../base/random.ts";
import { DnsServer } from "./dns-server.ts";
import { EngineUpstream, PENDING_MAX } from "./engine-upstream.ts";
import { messagesOf, withLength } from "./framing.ts";
import { NameIndex } from "./name-index.ts";
import { Responder, type Upstream } from "./responder.ts";

const queryFor = (id: number, name: string) =>
  encode({ type: "query", id, questions: [{ type: "A", name, class: "IN" }] });

/** A container's network with one service. */
function network(): NameIndex {
  const index = new NameIndex({ suffix: "lan", subnets: ["10.0.1.0/24"] });
  const entries = [{ names: ["web"], addresses: ["10.0.1.2"] }];
  index.change({ put: [{ id: "web", entries }], remove: [] });
  return index;
}

function responderBefore(upstream: Upstream): Responder {
  const sets = [network()];
  return new Responder({ sight: () => ({ sets, zone: false }), random: seededRandom(1), upstream });
}

const addressesIn = ({ answers = [] }: Packet) =>
  answers.map((answer) => (answer.type === "A" ? answer.data : answer.type));

test("on one connection a name of ours does not wait for one that is looked up elsewhere", async () => {
  const slow = Promise.withResolvers<Buffer>();
  const responder = responderBefore({ exchange: () => slow.promise });
  const { host, port } = await freePlace();
  const datagrams = createSocket("udp4");
  const streams = createServer().listen(port, host);
  await once(streams, "listening");
  const server = new DnsServer({ responder, datagrams, streams });
  const client = connect(port, host);
  try {
    for (const [id, name] of [
      [1, "slow.example.com"],
      [2, "web"],
      [3, "tasks.example.com"],
      [4, "web.lan"],
    ] as const) {
      client.write(withLength(queryFor(id, name)));
    }
    const answers = messagesOf(client);
    const next = async () => decode((await answers.next()).value as Buffer);
    const [first, second] = [await next(), await next()];
    assert.deepEqual([first.id, ...addressesIn(first)], [2, "10.0.1.2"]);
    assert.deepEqual([second.id, ...addressesIn(second)], [4, "10.0.1.2"]);
    slow.resolve(Buffer.from(encode({ type: "response", id: 1 })));
    assert.equal((await next()).id, 1);
  } finally {
    client.destroy();
    datagrams.bind(0, host);
    await once(datagrams, "listening");
    await server.close();
  }
});

test("with all that may wait for a silent resolver waiting, names of ours are answered at once", async () => {
  const clock = new FakeClock();
  const silent = createSocket("udp4");
  silent.bind(0, "127.0.0.1");
  await once(silent, "listening");
  const asking = createSocket("udp4");
  const upstream = new EngineUpstream({
    sockets: {
      datagrams: async () => {
        asking.connect(silent.address().port, "127.0.0.1");
        await once(asking, "connect");
        return asking;
      },
      stream: () => assert.fail("nobody asks by TCP"),
    },
    clock,
    random: seededRandom(1),
  });
  const responder = responderBefore(upstream);
  const waiting = Array.from(
    { length: PENDING_MAX },
    async (_, id) => await responder.respond(queryFor(id, `slow${id}.example.com`), "udp"),
  );
  const refused = await responder.respond(queryFor(7, "one.more.example.com"), "udp");
  assert.ok(refused);
  assert.equal((decode(refused) as { rcode?: string }).rcode, "SERVFAIL");
  for (const name of ["web", "web.lan", "WEB"]) {
    const answer = responder.respond(queryFor(9, name), "udp");
    assert.ok(answer instanceof Buffer, "no promise: nothing is waited for");
    assert.deepEqual(addressesIn(decode(answer)), ["10.0.1.2"]);
  }
  upstream.close();
  await Promise.all(waiting);
  silent.close();
});
