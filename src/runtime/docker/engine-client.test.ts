import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import {
  ConflictError,
  ForbiddenError,
  InvalidParameterError,
  NotFoundError,
  SystemError,
  UnauthorizedError,
  UnavailableError,
} from "../../base/errors.ts";
import { EngineClient, olderVersion } from "./engine-client.ts";

describe("the Engine's API", () => {
  let directory: string;
  let socketPath: string;
  let server: Server | undefined;
  let client: EngineClient;
  const asked: string[] = [];

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "weft-engine-"));
    socketPath = join(directory, "engine.sock");
    client = new EngineClient({ socketPath });
    asked.length = 0;
  });
  afterEach(async () => {
    client.close();
    await stop();
    rmSync(directory, { recursive: true });
  });

  const serve = (answer: RequestListener, apiVersion = "1.41") => {
    server = createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      if (request.url === "/version") {
        response.end(JSON.stringify({ ApiVersion: apiVersion }));
        return;
      }
      answer(request, response);
    });
    return new Promise<void>((resolve) => server?.listen(socketPath, resolve));
  };
  const stop = () => {
    const stopping = server;
    server = undefined;
    if (stopping === undefined) return Promise.resolve();
    stopping.closeAllConnections();
    return new Promise<void>((resolve) => stopping.close(() => resolve()));
  };

  it("asks for the version once and speaks the Engine's own", async () => {
    await serve((_, response) => response.end('{"ok":true}'));
    assert.deepEqual(await client.call("GET", "/info"), { ok: true });
    await client.call("GET", "/images/json", { query: { all: true, none: undefined } });
    assert.deepEqual(asked, ["GET /version", "GET /v1.41/info", "GET /v1.41/images/json?all=true"]);
  });

  it("does not speak a version newer than it knows", async () => {
    await serve((_, response) => response.end(), "1.99");
    assert.equal(await client.call("GET", "/info"), undefined);
    assert.equal(asked[1], "GET /v1.51/info");
  });

  const refusals = [
    [400, InvalidParameterError],
    [401, UnauthorizedError],
    [403, ForbiddenError],
    [404, NotFoundError],
    [409, ConflictError],
    [500, SystemError],
    [503, UnavailableError],
  ] as const;
  for (const [status, ErrorClass] of refusals) {
    it(`keeps the Engine's words of a ${status}`, async () => {
      await serve((_, response) => response.writeHead(status).end('{"message":"so it is"}\n'));
      await assert.rejects(client.call("GET", "/x"), (error) => {
        assert.ok(error instanceof ErrorClass);
        assert.equal(error.message, "so it is");
        return true;
      });
    });
  }

  it("takes what was declared harmless as done", async () => {
    await serve((_, response) => response.writeHead(404).end('{"message":"gone"}'));
    assert.equal(await client.call("DELETE", "/x", { harmless: [404] }), undefined);
  });

  it("says in Docker's words that nobody is there", async () => {
    await assert.rejects(client.call("GET", "/info"), (error) => {
      assert.ok(error instanceof UnavailableError);
      assert.equal(
        error.message,
        `Cannot connect to the Docker daemon at unix://${socketPath}. Is the docker daemon running?`,
      );
      return true;
    });
  });

  it("finds the Engine again after its restart, of whatever version it is then", async () => {
    await serve((_, response) => response.end("1"));
    await client.call("GET", "/info");
    await stop();
    await assert.rejects(client.call("POST", "/x"), UnavailableError);
    await serve((_, response) => response.end("2"), "1.44");
    assert.equal(await client.call("GET", "/info"), 2);
    assert.equal(asked.at(-1), "GET /v1.44/info");
  });

  it("ends a call that the Engine leaves unanswered", async () => {
    await serve(() => {});
    await assert.rejects(client.call("GET", "/info", { timeoutMs: 20 }), /does not answer/);
  });

  it("ends a stream quietly when nobody reads any more, and not when the Engine goes", async () => {
    await serve((_, response) => void response.write("a"));
    const reading = new AbortController();
    const quiet = await client.stream("GET", "/events", { signal: reading.signal });
    for await (const _ of quiet) reading.abort();
    const broken = await client.stream("GET", "/events");
    await assert.rejects(async () => {
      for await (const _ of broken) await stop();
    }, UnavailableError);
  });
});

it("the older of two versions is found by number, not by spelling", () => {
  assert.equal(olderVersion("1.9", "1.41"), "1.9");
  assert.equal(olderVersion("1.51", "1.41"), "1.41");
  assert.equal(olderVersion("1.41", "2.0"), "1.41");
});
