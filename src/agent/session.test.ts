/** Where a session is tried next, over real connections; the node's clock moves only when told. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { FakeClock } from "../base/clock.ts";
import { silentLogger } from "../base/logger.ts";
import { Meters } from "../base/meters.ts";
import { systemRandom } from "../base/random.ts";
import { makeClusterSpec } from "../cluster/factories.ts";
import { Cable } from "../dispatcher/cable.ts";
import {
  describeHost,
  eventually,
  LoopbackAgent,
  LoopbackCluster,
} from "../dispatcher/loopback-cluster.ts";
import { AgentSession } from "./session.ts";

/** Takes connections and says nothing, as a host does whose answers are lost. */
class SilentHost implements AsyncDisposable {
  readonly sockets: Socket[] = [];
  readonly #server = createServer((socket) => {
    socket.on("error", () => {});
    this.sockets.push(socket);
  });

  async listen(): Promise<string> {
    this.#server.listen(0, "127.0.0.2");
    await once(this.#server, "listening");
    return `127.0.0.2:${(this.#server.address() as AddressInfo).port}`;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.#server.close();
  }
}

test("a manager that is said to be there again is tried at once, whatever hangs meanwhile", async () => {
  await using cluster = await LoopbackCluster.start();
  await using silent = new SilentHost();
  const silentAddr = await silent.listen();
  const certificates = await cluster.join("n1");
  const handler = new LoopbackAgent(certificates, { managers: [cluster.addr] }, true);
  const clock = new FakeClock();
  const session = new AgentSession(
    { certificates, handler, clock, random: systemRandom, log: silentLogger },
    {
      managers: [silentAddr, cluster.addr],
      description: describeHost("n1"),
      advertiseAddr: "",
      onManagers: () => {},
    },
  );
  session.start();
  await eventually("a try that hangs", () => silent.sockets.length === 1);

  session.onReturned("127.0.0.1", 0);
  clock.advance(900);
  assert.deepEqual(clock.pending(), ["manager silent"], "a young try may still succeed");

  clock.advance(200);
  session.onReturned("127.0.0.3", 0);
  assert.deepEqual(clock.pending(), ["manager silent"], "no manager lives there");

  session.onReturned("127.0.0.1", 20);
  assert.deepEqual(clock.pending(), ["session retry", "manager silent"]);
  clock.advance(20);
  await eventually("a session", () => session.isOpen);

  session.onReturned("127.0.0.2", 0);
  clock.advance(50);
  assert.ok(session.isOpen, "one that stands is left alone");
  await session.stop();
});

test("a session with a manager that is there again is made sure of, however rarely nodes are to beat", async () => {
  const spec = makeClusterSpec({ dispatcher: { heartbeatPeriod: 300_000_000_000 } });
  await using cluster = await LoopbackCluster.start({ cluster: { spec } });
  using cable = new Cable(cluster.addr);
  const addr = await cable.lay();
  const certificates = await cluster.join("n1");
  const handler = new LoopbackAgent(certificates, { managers: [addr] }, true);
  const clock = new FakeClock();
  const meters = new Meters();
  const connected: boolean[] = [];
  const session = new AgentSession(
    { certificates, handler, clock, random: systemRandom, log: silentLogger, meters },
    {
      managers: [addr],
      description: describeHost("n1"),
      advertiseAddr: "",
      onManagers: () => {},
      onConnected: (isConnected) => void connected.push(isConnected),
    },
  );
  session.start();
  await eventually("a session", () => session.isOpen);
  session.onReturned("127.0.0.1", 0);
  await eventually("an answer to the beat", () => answered(meters) === 1);
  clock.advance(10_000);
  assert.deepEqual(connected, [true], "one that answers is believed for as long as ever");

  cable.cut();
  session.onReturned("127.0.0.1", 0);
  clock.advance(4_900);
  assert.deepEqual(connected, [true]);
  clock.advance(100);
  assert.deepEqual(connected, [true, false], "one that does not is left");
  cable.mend();
  clock.advance(100);
  await eventually("another session", () => session.isOpen);
  await session.stop();
});

/** Beats that a manager has answered. */
function answered({ heartbeat }: Meters): number {
  const { samples } = heartbeat.family("beats", "");
  return samples.find(({ suffix }) => suffix === "_count")?.value ?? 0;
}
