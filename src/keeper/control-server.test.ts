import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { InvalidParameterError, UnavailableError } from "../base/errors.ts";
import { silentLogger } from "../base/logger.ts";
import { HTTPKeeperClient } from "./client.ts";
import { ControlServer } from "./control-server.ts";
import type { NameSetChange } from "./dns/names.ts";
import type { KeeperStatus, PortHold, PortRequest } from "./protocol.ts";

const STATUS: KeeperStatus = {
  version: "v1",
  pid: 7,
  networkNamespace: "net:[1]",
  dataDir: "/var/lib/weft",
  ports: [
    { protocol: "tcp", port: 80, state: "held" },
    { protocol: "udp", port: 53, state: "busy", reason: "address already in use" },
  ],
  endpoints: [
    { networkID: "n", endpointID: "e", address: "10.0.0.5", link: "wv1", state: "joined" },
  ],
};

/** A control server whose keeper only writes down what it is asked. */
class Rig implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), "weft-keeper-"));
  readonly socketPath = join(this.directory, "keeper.sock");
  readonly client = new HTTPKeeperClient({ socketPath: this.socketPath });
  readonly asked: (readonly PortRequest[])[] = [];
  readonly commands: (readonly string[])[] = [];
  readonly names: NameSetChange[] = [];
  readonly kept: (readonly string[])[] = [];
  /** What `holdPorts` waits for. */
  gate: Promise<void> = Promise.resolve();
  stopped = 0;
  endsOnStop = false;
  readonly control = new ControlServer({
    log: silentLogger,
    status: () => STATUS,
    holdPorts: async (ports): Promise<readonly PortHold[]> => {
      this.asked.push(ports);
      await this.gate;
      return ports.map((port) => ({ ...port, state: "held" }));
    },
    changeNames: async (change) => void this.names.push(change),
    keepNames: async (sets) => void this.kept.push(sets),
    handOver: async (command) => void this.commands.push(command),
    stop: () => {
      this.stopped++;
      if (this.endsOnStop) this.control.server.close();
    },
  });

  static async create(): Promise<Rig> {
    const rig = new Rig();
    rig.control.server.listen(rig.socketPath);
    await once(rig.control.server, "listening");
    return rig;
  }

  async raw(text: string): Promise<string> {
    const socket = connect(this.socketPath);
    socket.write(text);
    let answer = "";
    for await (const chunk of socket) answer += String(chunk);
    return answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.control.server.closeAllConnections();
    this.control.server.close();
    rmSync(this.directory, { recursive: true });
  }
}

test("status, ports, handover and stop cross the socket as they are", async () => {
  await using rig = await Rig.create();
  assert.deepEqual(await rig.client.status(), STATUS);
  const ports = [{ protocol: "udp", port: 53 }] as const;
  assert.deepEqual(await rig.client.holdPorts(ports), [{ ...ports[0], state: "held" }]);
  assert.deepEqual(rig.asked, [ports]);
  await rig.client.handOver(["/bin/weft"]);
  assert.deepEqual(rig.commands, [["/bin/weft"]]);
  assert.equal(rig.stopped, 1, "who has handed over ends");
  rig.endsOnStop = true;
  await rig.client.stop();
  await assert.rejects(rig.client.status(), UnavailableError);
});

test("events: the whole state at once, then each change, until the signal", async () => {
  await using rig = await Rig.create();
  const abort = new AbortController();
  const events = rig.client.events(abort.signal);
  assert.deepEqual((await events.next()).value, { kind: "ports", ports: STATUS.ports });
  const { endpoints } = STATUS;
  assert.deepEqual((await events.next()).value, { kind: "endpoints", endpoints });
  rig.control.publish({ kind: "endpoints", endpoints: [] });
  assert.deepEqual((await events.next()).value, { kind: "endpoints", endpoints: [] });
  abort.abort();
  assert.equal((await events.next()).done, true);
});

test("names cross the socket as they are", async () => {
  await using rig = await Rig.create();
  const change: NameSetChange = {
    ...{ set: "network-4097", suffix: "front", subnets: ["10.0.1.0/24", "fd00::/64"] },
    ...{ listen: ["127.0.0.1:9353", "[::1]:53"], base: "a", revision: "b", more: true },
    put: [
      {
        id: "web",
        entries: [
          { names: ["web", "www"], addresses: ["10.0.1.2", "fd00::2"], reverse: "web" },
          { names: ["_80._tcp.web"], hosts: ["all"], ports: [{ host: "all", port: 80 }] },
        ],
      },
    ],
    remove: ["old"],
  };
  await rig.client.changeNames(change);
  await rig.client.keepNames(["network-4097"]);
  assert.deepEqual([rig.names, rig.kept], [[change], [["network-4097"]]]);
  const refused: [Partial<NameSetChange>, RegExp][] = [
    [{ set: "../etc" }, /cannot have the id/],
    [{ suffix: "a b" }, /no name that DNS could have/],
    [{ subnets: ["10.0.1.0/33"] }, /not a subnet/],
    [{ listen: ["127.0.0.1"] }, /not an address and port/],
    [{ put: [{ id: "x", entries: [{ names: ["a..b"] }] }] }, /no name that DNS/],
    [{ put: [{ id: "x", entries: [{ names: ["a"], addresses: ["10.0.1"] }] }] }, /IP address/],
  ];
  for (const [part, reason] of refused) {
    await assert.rejects(rig.client.changeNames({ ...change, ...part }), reason);
  }
  assert.equal(rig.names.length, 1);
});

test("nonsense is refused with its reason", async () => {
  await using rig = await Rig.create();
  const tooHigh = [{ protocol: "tcp", port: 70_000 }] as const;
  await assert.rejects(rig.client.holdPorts(tooHigh), InvalidParameterError);
  await assert.rejects(rig.client.handOver([]), /command is empty/);
  const head = "Host: keeper\r\nConnection: close\r\n";
  assert.match(await rig.raw(`GET /nothing HTTP/1.1\r\n${head}\r\n`), /404.*has no GET \/nothing/s);
  const body = `PUT /ports HTTP/1.1\r\n${head}Content-Length: 2\r\n\r\n[]`;
  assert.match(await rig.raw(body), /400.*not an object/s);
  assert.deepEqual(rig.asked, []);
});

test("who asks and goes away before the answer does not harm", async () => {
  await using rig = await Rig.create();
  const { promise, resolve } = Promise.withResolvers<void>();
  rig.gate = promise;
  const socket = connect(rig.socketPath);
  socket.write('PUT /ports HTTP/1.1\r\nHost: keeper\r\nContent-Length: 12\r\n\r\n{"ports":[]}');
  const [server] = (await once(rig.control.server, "connection")) as [NodeJS.EventEmitter];
  await once(rig.control.server, "request");
  socket.destroy();
  await once(server, "close");
  resolve();
  assert.deepEqual(await rig.client.status(), STATUS);
});

test("no keeper is unavailable, which is worth another try", async () => {
  const client = new HTTPKeeperClient({ socketPath: "/nowhere/keeper.sock" });
  await assert.rejects(client.status(), UnavailableError);
  await assert.rejects(client.events(new AbortController().signal).next(), UnavailableError);
});
