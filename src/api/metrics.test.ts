import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { systemClock } from "../base/clock.ts";
import { freePlace } from "../base/free-place.ts";
import { withPort } from "../base/host-port.ts";
import { silentLogger } from "../base/logger.ts";
import { ask, type FakeEngine, startFakeEngine } from "./fake-engine.ts";
import { FakeBackend } from "./fake-manager.ts";
import { MetricsServer, parseMetricsAddr } from "./metrics.ts";
import { ApiServer } from "./server.ts";

const PAGE = "# HELP weft_x X.\n# TYPE weft_x gauge\nweft_x 1\n";

describe("the metrics page", () => {
  let engine: FakeEngine;
  beforeEach(async () => {
    engine = await startFakeEngine();
  });
  afterEach(() => engine.stop());

  it("is answered on the API's socket, with or without a cluster", async () => {
    const backend = new FakeBackend();
    backend.part = "outside";
    const host = `unix://${engine.directory}/weft.sock`;
    const common = { clock: systemClock, log: silentLogger, version: "0.0.0" };
    await using server = disposable(
      new ApiServer({
        ...common,
        ...{ hosts: [host], dockerHost: engine.host, backend, metrics: async () => PAGE },
      }),
    );
    await server.start();
    const { status, text, headers } = await ask(host, "/metrics");
    assert.deepEqual([status, text], [200, PAGE]);
    assert.equal(headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
  });

  it("is all that the address for metrics answers", async () => {
    const place = await freePlace();
    const page = async () => PAGE;
    const init = { ...place, page, log: silentLogger };
    await using server = disposable(new MetricsServer(init));
    await server.start();
    const get = (path: string, method = "GET") =>
      fetch(`http://${withPort(place.host, place.port)}${path}`, { method });
    const answer = await get("/metrics");
    assert.deepEqual([answer.status, await answer.text()], [200, PAGE]);
    for (const [path, method] of [
      ["/", "GET"],
      ["/services", "GET"],
      ["/metrics", "POST"],
    ] as const) {
      assert.equal((await get(path, method)).status, 404, `${method} ${path}`);
    }
    await assert.rejects(new MetricsServer(init).start(), { code: "EADDRINUSE" });
  });

  it("is an error where it cannot be gathered", async () => {
    const place = await freePlace();
    const page = () => Promise.reject(new Error("no links"));
    const init = { ...place, page, log: silentLogger };
    await using server = disposable(new MetricsServer(init));
    await server.start();
    assert.equal((await fetch(`http://${withPort(place.host, place.port)}/metrics`)).status, 500);
  });
});

describe("an address for metrics", () => {
  it("is an address and a port", () => {
    assert.deepEqual(parseMetricsAddr("127.0.0.1:9480"), { host: "127.0.0.1", port: 9480 });
    assert.deepEqual(parseMetricsAddr("[::1]:9480"), { host: "::1", port: 9480 });
  });
  for (const text of ["9480", ":9480", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:70000", "a b:1:2"]) {
    it(`is not ${text}`, () => {
      assert.throws(() => parseMetricsAddr(text), /expected ADDRESS:PORT/);
    });
  }
});

function disposable<T extends { stop(): Promise<void> }>(server: T): T & AsyncDisposable {
  return Object.assign(server, { [Symbol.asyncDispose]: () => server.stop() });
}
