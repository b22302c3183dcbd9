import assert from "node:assert/strict";
import type { IncomingMessage, ServerResponse } from "node:http";
import { it } from "node:test";
import { NotFoundError } from "../../base/errors.ts";
import { FakeEngine } from "./fake-engine.ts";
import { ensureImage } from "./images.ts";

/** No image is there; a pull answers with these lines. */
const pulling =
  (...lines: readonly unknown[]) =>
  (request: IncomingMessage, response: ServerResponse) => {
    if (request.method === "GET") return void response.writeHead(404).end('{"message":"none"}');
    for (const line of lines) response.write(`${JSON.stringify(line)}\r\n`);
    return void response.end();
  };

it("pulls what is not there, with the user's credentials, telling how far it is", async () => {
  let auth: unknown;
  await using engine = await FakeEngine.serve((request, response) => {
    auth ??= request.headers["x-registry-auth"];
    const layer = { id: "a1", status: "Downloading", progressDetail: { current: 1, total: 4 } };
    pulling(layer, { status: "Status: done" })(request, response);
  });
  const progress: string[] = [];
  await ensureImage(engine.client, "lan:5000/web:2", {
    registryAuth: "c2VjcmV0",
    onProgress: (text) => progress.push(text),
  });
  assert.equal(auth, "c2VjcmV0");
  assert.equal(engine.asked[1]?.call, "POST /images/create");
  assert.equal(engine.asked[1]?.query.get("fromImage"), "lan:5000/web");
  assert.equal(engine.asked[1]?.query.get("tag"), "2");
  assert.deepEqual(progress, ["a1: Downloading 25%", "Status: done"]);
});

it("pulls by digest what has one", async () => {
  await using engine = await FakeEngine.serve(pulling());
  await ensureImage(engine.client, "nginx:latest@sha256:abc", {});
  assert.equal(engine.asked[1]?.query.get("fromImage"), "nginx");
  assert.equal(engine.asked[1]?.query.get("tag"), "sha256:abc");
});

it("asks nobody for what is there", async () => {
  await using engine = await FakeEngine.serve((_, response) => void response.end("{}"));
  await ensureImage(engine.client, "nginx", {});
  assert.deepEqual(
    engine.asked.map(({ call }) => call),
    ["GET /images/nginx/json"],
  );
});

it("names what is nowhere as Docker does, and keeps what the registry said", async () => {
  await using engine = await FakeEngine.serve(pulling({ error: "pull access denied for web" }));
  await assert.rejects(ensureImage(engine.client, "web", {}), (error) => {
    assert.ok(error instanceof NotFoundError);
    assert.equal(error.message, "No such image: web:latest (pull access denied for web)");
    return true;
  });
});

it("a pull that nobody wants any more ends", async () => {
  const reading = new AbortController();
  await using engine = await FakeEngine.serve((request, response) => {
    if (request.method === "GET") return void response.writeHead(404).end();
    response.write('{"status":"Pulling"}\n');
    return reading.abort(new Error("not wanted"));
  });
  await assert.rejects(
    ensureImage(engine.client, "web", { signal: reading.signal }),
    /not wanted|aborted/,
  );
});
