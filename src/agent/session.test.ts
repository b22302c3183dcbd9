/** Where a session is tried next, over real connections; the node's clock moves only when told. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { FakeClock } from "../base/clock.ts";
import { silentLogger } from "../base/logger.ts";
import { systemRandom } from "../base/random.ts";
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

  session.onReturned("127.0.0.1", 0);
  clock.advance(50);
  assert.ok(session.isOpen, "one that stands is left alone");
  await session.stop();
});
