import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { systemClock } from "../base/clock.ts";
import { silentLogger } from "../base/logger.ts";
import type { NodeBackend } from "./backend.ts";
import { ask, type FakeEngine, startFakeEngine } from "./fake-engine.ts";
import { ApiServer } from "./server.ts";

const outsider: NodeBackend = {
  status: () => ({
    state: "inactive",
    nodeID: "",
    nodeAddr: "",
    controlAvailable: false,
    error: "",
    remoteManagers: [],
  }),
  manager: () => undefined,
  networks: () => [],
  gossip: () => undefined,
  attach: () => assert.fail(),
  settle: () => {},
  localNetwork: () => undefined,
  init: () => assert.fail("nobody asked for a cluster"),
  join: () => assert.fail("nobody asked to join"),
  leave: () => assert.fail("nobody asked to leave"),
};

let engine: FakeEngine;
let server: ApiServer;
let host: string;

function makeServer(hosts: readonly string[], dockerHost = engine.host): ApiServer {
  const common = { clock: systemClock, log: silentLogger, version: "0.0.0" };
  return new ApiServer({ ...common, hosts, dockerHost, backend: outsider });
}

beforeEach(async () => {
  engine = await startFakeEngine();
  host = `unix://${engine.directory}/weft.sock`;
  server = makeServer([host]);
  await server.start();
});
afterEach(async () => {
  await server.stop();
  await engine.stop();
});

test("what is not Weft's reaches the Engine as it was written", async () => {
  engine.answers.set("POST /v1.41/containers/x/exec?name=a%2Fb", [201, '{"Id":"1"}']);
  const answer = await ask(host, "/v1.41/containers/x/exec?name=a%2Fb", {
    method: "POST",
    body: '{"Image":"x"}',
    headers: { "Content-Type": "zzz; ;", "X-Registry-Auth": "abc" },
  });
  assert.equal(answer.status, 201);
  assert.equal(answer.text, '{"Id":"1"}');
  assert.equal(answer.headers["x-engine"], "1");
  assert.equal(engine.seen[0]?.body, '{"Image":"x"}');
  assert.equal(engine.seen[0]?.headers["content-type"], "zzz; ;");
  assert.equal(engine.seen[0]?.headers["x-registry-auth"], "abc");
});

test("a POST without a body stays one without a body", async () => {
  await ask(host, "/containers/x/start", { method: "POST" });
  assert.equal(engine.seen[0]?.headers["content-length"], "0");
  assert.equal(engine.seen[0]?.headers["transfer-encoding"], undefined);
});

test("a body is asked for when the Engine wants it, and not when it refuses at once", async () => {
  const refusing = createServer((socket) => {
    socket.once("data", (data) => {
      assert.match(data.toString(), /expect: 100-continue/i);
      socket.end("HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno");
    });
  });
  const path = join(engine.directory, "refusing.sock");
  await new Promise<void>((resolve) => refusing.listen(path, resolve));
  const other = makeServer([`unix://${engine.directory}/weft2.sock`], `unix://${path}`);
  await other.start();
  const headers = { Expect: "100-continue", "Content-Length": "10" };
  const ends = [`unix://${engine.directory}/weft2.sock`, host].map((socket) =>
    exchange(socket, "PUT", "/containers/x/archive", headers, "0123456789"),
  );
  assert.deepEqual(await Promise.all(ends), [
    { asked: false, status: 404, text: "no" },
    { asked: true, status: 404, text: '{"message":"page not found"}' },
  ]);
  assert.equal(engine.seen.at(-1)?.body, "0123456789");
  await other.stop();
  await new Promise((resolve) => refusing.close(resolve));
});

/** A request whose body is only sent when it is asked for. */
function exchange(
  socket: string,
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body: string,
): Promise<{ asked: boolean; status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const socketPath = socket.slice("unix://".length);
    const outgoing = request({ socketPath, method, path, headers, agent: false });
    let asked = false;
    outgoing.on("continue", () => {
      asked = true;
      outgoing.end(body);
    });
    outgoing.on("error", reject);
    outgoing.on("response", (answer) => {
      let text = "";
      answer.on("data", (chunk: Buffer) => (text += chunk.toString()));
      answer.on("end", () => {
        outgoing.destroy();
        resolve({ asked, status: answer.statusCode ?? 0, text });
      });
    });
    outgoing.flushHeaders();
  });
}

test("the Engine hears nothing of the cluster's paths, not even of those that nobody has", async () => {
  for (const path of ["/services/a/b/c", "/v1.41/swarm/nothing", "/nodes/", "/tasks/a/b?x=1"]) {
    const answer = await ask(host, path);
    assert.deepEqual([answer.status, answer.json], [404, { message: "page not found" }], path);
  }
  assert.deepEqual(engine.seen, []);
});

test("an upgrade is spliced both ways, with bytes sent early and a half-close", async () => {
  const spliced = createServer({ allowHalfOpen: true });
  const path = join(engine.directory, "splice.sock");
  await new Promise<void>((resolve) => spliced.listen(path, resolve));
  spliced.on("connection", (socket) => {
    let seen = "";
    let upgraded = false;
    socket.on("data", (data) => {
      seen += data.toString();
      if (!upgraded && seen.includes("\r\n\r\n")) {
        upgraded = true;
        assert.match(seen, /Connection: Upgrade, close\r\n/);
        socket.write("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
      }
    });
    socket.on("end", () => socket.end(`all of ${seen.split("\r\n\r\n")[1]}`));
  });
  const other = makeServer([`unix://${engine.directory}/weft2.sock`], `unix://${path}`);
  await other.start();
  const client = connect({ path: join(engine.directory, "weft2.sock"), allowHalfOpen: true });
  client.write(
    "POST /containers/x/attach HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly ",
  );
  client.end("late");
  let answer = "";
  for await (const chunk of client) answer += String(chunk);
  assert.match(answer, /^HTTP\/1\.1 101 UPGRADED/);
  assert.match(answer, /all of early late$/);
  await other.stop();
  await new Promise((resolve) => spliced.close(resolve));
});

test("an upgrade is no way past Weft to its own paths", async () => {
  const answer = await ask(host, "/services/a/b/c", {
    headers: { Connection: "Upgrade, HTTP2-Settings", Upgrade: "h2c", "HTTP2-Settings": "x" },
  });
  assert.equal(answer.status, 404);
  assert.deepEqual(engine.seen, []);
});

test("an Engine that is away is named, on plain and on upgraded requests", async () => {
  const gone = makeServer([`unix://${engine.directory}/weft2.sock`], "unix:///nowhere/docker.sock");
  await gone.start();
  const upgrade = { Connection: "Upgrade", Upgrade: "tcp" };
  for (const headers of [{}, upgrade]) {
    const answer = await ask(`unix://${engine.directory}/weft2.sock`, "/containers/json", {
      headers,
    });
    assert.equal(answer.status, 503);
    assert.match(answer.text, /Docker Engine at unix:\/\/\/nowhere\/docker\.sock .*ENOENT/);
  }
  await gone.stop();
});

test("/_ping is the Engine's, with this node's own state in the cluster", async () => {
  engine.answers.set("GET /v1.41/_ping", [200, "OK"]);
  const answer = await ask(host, "/v1.41/_ping");
  assert.equal(answer.text, "OK");
  assert.equal(answer.headers["swarm"], "inactive");
});

test("a socket that a dead daemon left is replaced; a living one's is refused", async () => {
  await assert.rejects(makeServer([host]).start(), /another weft daemon is running/);
  assert.equal((await ask(host, "/v1.41/_ping")).headers["x-engine"], "1");
  const path = host.slice("unix://".length);
  assert.equal(statSync(path).mode & 0o777, 0o660);
  const file = join(engine.directory, "file");
  writeFileSync(file, "keep me");
  await assert.rejects(makeServer([`unix://${file}`]).start(), /is no socket/);
  assert.ok(existsSync(file));
});

test("plain TCP is refused", async () => {
  await assert.rejects(makeServer(["tcp://127.0.0.1:2375"]).start(), /client certificates/);
  const directory = mkdtempSync(join(tmpdir(), "weft-api-"));
  await assert.rejects(
    makeServer([`unix://${directory}/a.sock`, "http://x"]).start(),
    /invalid host/,
  );
  assert.ok(!existsSync(join(directory, "a.sock")), "a failed start leaves no socket");
  rmSync(directory, { recursive: true });
});
