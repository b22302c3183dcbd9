/** Every request that a real Engine 20.10 in swarm mode was seen to refuse, put to Weft. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { systemClock } from "../base/clock.ts";
import { silentLogger } from "../base/logger.ts";
import { startFakeEngine } from "./fake-engine.ts";
import { FakeBackend } from "./fake-manager.ts";
import { playCases, type Refusal } from "./recorded/play.ts";
import { ApiServer } from "./server.ts";

test("what a real Engine refuses is refused alike, and nothing is left of it", async () => {
  const recorded = JSON.parse(
    readFileSync(new URL("recorded/refusals.json", import.meta.url), "utf8"),
  ) as readonly Refusal[];
  const engine = await startFakeEngine();
  const backend = new FakeBackend();
  await backend.populate();
  const host = `unix://${engine.directory}/weft.sock`;
  const server = new ApiServer({
    hosts: [host],
    dockerHost: engine.host,
    backend,
    clock: systemClock,
    log: silentLogger,
    version: "0.0.0",
  });
  await server.start();
  engine.answers.set("GET /networks/zzz", [404, '{"message":"network zzz not found"}']);
  try {
    const played = await playCases(host);
    assert.equal(played.length, recorded.length, "record the cases again");
    for (const [index, expected] of recorded.entries()) assert.deepEqual(played[index], expected);
    const names = backend.store
      .view()
      .list("service")
      .map((service) => service.spec.name);
    assert.deepEqual(
      [...names].sort((a, b) => a.localeCompare(b)),
      ["hm", "web"],
    );
  } finally {
    await server.stop();
    await engine.stop();
  }
});
