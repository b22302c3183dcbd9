/** Every request that a real Engine 20.10 in swarm mode was seen to refuse, put to Weft. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { LoopbackApi } from "./loopback-api.ts";
import { playCases, type Refusal } from "./recorded/play.ts";

test("what a real Engine refuses is refused alike, and nothing is left of it", async () => {
  const recorded = JSON.parse(
    readFileSync(new URL("recorded/refusals.json", import.meta.url), "utf8"),
  ) as readonly Refusal[];
  await using api = await LoopbackApi.start();
  const { engine, backend, host } = api;
  engine.answers.set("GET /networks/zzz", [404, '{"message":"network zzz not found"}']);
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
});
