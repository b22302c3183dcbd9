import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { decode, encode, type Packet, streamDecode, streamEncode } from "dns-packet";
import { FakeClock } from "../../base/clock.ts";
import { freePlace } from "../../base/free-place.ts";
import { withPort } from "../../base/host-port.ts";
import { silentLogger } from "../../base/logger.ts";
import { seededRandom } from "../../base/random.ts";
import { NameStore } from "./name-store.ts";
import { ZoneServers } from "./zone-servers.ts";

const QUERY = {
  type: "query" as const,
  id: 7,
  questions: [{ type: "A" as const, name: "web.weft", class: "IN" as const }],
} satisfies Packet;

type Place = Awaited<ReturnType<typeof freePlace>>;

async function withZone(
  work: (rig: { names: NameStore; zones: ZoneServers; place: Place }) => Promise<void>,
): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "weft-zone-"));
  const names = new NameStore({ clock: new FakeClock(), log: silentLogger }, directory);
  const zones = new ZoneServers({ names, random: seededRandom(1), log: silentLogger });
  try {
    await names.load();
    zones.start();
    await work({ names, zones, place: await freePlace() });
  } finally {
    await zones.stop();
    await rm(directory, { recursive: true });
  }
}

function tell(names: NameStore, listen: readonly string[], address = "192.168.99.100"): void {
  const entries = [{ names: ["web"], addresses: [address] }];
  const put = [{ id: "web", entries }];
  names.change({
    set: "outside",
    suffix: "weft",
    subnets: [],
    listen,
    revision: "1",
    put,
    remove: [],
  });
}

async function byUDP({ host, port }: Place): Promise<Buffer> {
  const socket = createSocket("udp4");
  socket.send(encode(QUERY), port, host);
  const [answer] = (await once(socket, "message")) as [Buffer];
  socket.close();
  return answer;
}

test("a zone is answered by UDP and TCP where it listens, with the names of now", async () => {
  await withZone(async ({ names, zones, place }) => {
    tell(names, [withPort(place.host, place.port)]);
    zones.refresh();
    await zones.idle();
    const [byDatagram] = decode(await byUDP(place)).answers ?? [];
    assert.ok(byDatagram?.type === "A" && byDatagram.data === "192.168.99.100");
    tell(names, [withPort(place.host, place.port)], "192.168.99.101");
    zones.refresh();
    const client = connect(place);
    const both = streamEncode(QUERY);
    client.write(Buffer.concat([both, both.subarray(0, 5)]));
    const [first] = (await once(client, "data")) as [Buffer];
    const [byStream] = streamDecode(first)?.answers ?? [];
    assert.ok(byStream?.type === "A" && byStream.data === "192.168.99.101");
    client.write(both.subarray(5));
    const [second] = (await once(client, "data")) as [Buffer];
    assert.equal(streamDecode(second)?.id, 7, "asked in two parts");
    client.destroy();
    tell(names, []);
    zones.refresh();
    await zones.idle();
    const refused = connect(place);
    const [error] = (await once(refused, "error")) as [NodeJS.ErrnoException];
    assert.equal(error.code, "ECONNREFUSED");
  });
});

test("garbage on either socket harms nobody", async () => {
  await withZone(async ({ names, zones, place }) => {
    tell(names, [withPort(place.host, place.port)]);
    zones.refresh();
    await zones.idle();
    const socket = createSocket("udp4");
    for (let at = 0; at < 200; at++) socket.send(Buffer.alloc(at, at), place.port, place.host);
    const client = connect(place);
    client.on("error", () => {});
    client.write(Buffer.from([0, 3, 1, 2, 3, 255, 255]));
    await once(client, "close");
    assert.equal(decode(await byUDP(place)).id, 7);
    socket.close();
  });
});

test("a second keeper can listen before the first one lets go", async () => {
  await withZone(async (first) => {
    const listen = [withPort(first.place.host, first.place.port)];
    tell(first.names, listen);
    first.zones.refresh();
    await first.zones.idle();
    await withZone(async (second) => {
      tell(second.names, listen, "192.168.99.109");
      second.zones.refresh();
      await second.zones.idle();
      await first.zones.stop();
      const [answer] = decode(await byUDP(first.place)).answers ?? [];
      assert.ok(answer?.type === "A" && answer.data === "192.168.99.109");
    });
  });
});
