/** What the Engine says of its stand-ins for the cluster's networks, told in the cluster's own words. */
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { NetworkID } from "../base/ids.ts";
import { makeNetwork, makeOverlay } from "../cluster/factories.ts";
import { ask, type FakeEngine } from "./fake-engine.ts";
import type { FakeBackend } from "./fake-manager.ts";
import { LoopbackApi } from "./loopback-api.ts";

type Json = Readonly<Record<string, unknown>>;

const LAN = "c1u5terc1u5terc1u5terc1u5";
const INGRESS = "ingress-id";
/** The ingress network's stand-in has no id of the cluster's on it; "own" is the Engine's alone. */
const LOCAL = [
  { Id: "10ca1-lan", Name: "lan", Labels: { "weft.network": "", "weft.network.id": LAN } },
  { Id: "10ca1-ingress", Name: "ingress", Labels: { "weft.network": "" } },
  { Id: "0w0", Name: "own", Labels: null },
];

let api: LoopbackApi;
let engine: FakeEngine;
let backend: FakeBackend;
let host: string;

beforeEach(async () => {
  api = await LoopbackApi.start();
  ({ engine, backend, host } = api);
  engine.answers.set("GET /networks", [200, JSON.stringify(LOCAL)]);
  await backend.store.update((tx) => {
    for (const { id } of tx.list("network")) tx.delete("network", id);
    tx.put("network", makeOverlay({ id: LAN, name: "lan", subnet: "10.0.1.0/24" }));
    tx.put("network", makeNetwork({ id: INGRESS as NetworkID }));
  });
});
afterEach(async () => {
  await api[Symbol.asyncDispose]();
});

const container = (networks: Json, more: Json = {}) => ({
  Id: "c1",
  ...more,
  NetworkSettings: { Bridge: "", Networks: networks },
});

const filtered = (path: string, filters: Json) =>
  `${path}filters=${encodeURIComponent(JSON.stringify(filters))}`;

describe("a container on the cluster's networks", () => {
  it("is inspected with their ids and prefix lengths, and all else as the Engine has it", async () => {
    const local = container({
      lan: { NetworkID: "10ca1-lan", IPAddress: "10.0.1.9", IPPrefixLen: 32, MacAddress: "02" },
      ingress: { NetworkID: "10ca1-ingress", IPAddress: "", IPPrefixLen: 0 },
      own: { NetworkID: "0w0", IPAddress: "172.18.0.2", IPPrefixLen: 16 },
    });
    engine.answers.set("GET /v1.41/containers/c1/json?size=1", [200, JSON.stringify(local)]);
    const { status, json } = await ask(host, "/v1.41/containers/c1/json?size=1");
    assert.equal(status, 200);
    assert.deepEqual(json, {
      Id: "c1",
      NetworkSettings: {
        Bridge: "",
        Networks: {
          lan: { NetworkID: LAN, IPAddress: "10.0.1.9", IPPrefixLen: 24, MacAddress: "02" },
          ingress: { NetworkID: INGRESS, IPAddress: "", IPPrefixLen: 0 },
          own: { NetworkID: "0w0", IPAddress: "172.18.0.2", IPPrefixLen: 16 },
        },
      },
    });
  });

  it("has their ids when it has ended and its stand-in is gone, and none where another has the name", async () => {
    const local = container({ lan: { NetworkID: "g0ne" }, "": { NetworkID: "" }, other: null });
    engine.answers.set("GET /containers/c1/json", [200, JSON.stringify(local)]);
    const shown = async () => (await ask(host, "/containers/c1/json")).json;
    assert.deepEqual(
      await shown(),
      container({ lan: { NetworkID: LAN }, "": { NetworkID: "" }, other: null }),
    );
    const foreign = { Id: "g0ne", Name: "lan", Labels: {} };
    engine.answers.set("GET /networks", [200, JSON.stringify([foreign])]);
    assert.deepEqual(await shown(), local);
  });

  it("is what the Engine said to the byte where nothing of it is the cluster's", async () => {
    const exact = '{ "Id":"c1","Big":9007199254740993,"NetworkSettings":{"Networks":{}} }';
    for (const part of ["manager", "outside"] as const) {
      backend.part = part;
      for (const [path, text] of [
        ["/containers/c1/json", exact],
        ["/containers/json?all=1", `[${exact}]`],
      ] as const) {
        engine.answers.set(`GET ${path}`, [200, text]);
        assert.equal((await ask(host, path)).text, text);
      }
    }
    const missing = await ask(host, "/containers/none/json");
    assert.deepEqual([missing.status, missing.json], [404, { message: "page not found" }]);
  });

  it("is listed and found by their ids, names and beginnings of ids", async () => {
    const local = [container({ lan: { NetworkID: "10ca1-lan" } })];
    const asked: [string, readonly string[]][] = [
      [LAN, [LAN, "lan"]],
      ["c1u5", ["c1u5", "lan"]],
      ["0w0", ["0w0"]],
    ];
    for (const [value, network] of asked) {
      const there = filtered("/containers/json?all=1&", { label: ["a"], network });
      engine.answers.set(`GET ${there}`, [200, JSON.stringify(local)]);
      const wanted = filtered("/containers/json?all=1&", { label: ["a"], network: [value] });
      const { status, json } = await ask(host, wanted);
      assert.equal(status, 200, `${value}: ${engine.seen.map(({ url }) => url).join(" ")}`);
      assert.deepEqual(json, [container({ lan: { NetworkID: LAN } })]);
    }
    const bad = "/containers/json?filters=%7B";
    engine.answers.set(`GET ${bad}`, [400, '{"message":"invalid filter"}']);
    assert.equal((await ask(host, bad)).status, 400);
  });
});

describe("what happens to a stand-in", () => {
  const event = (id: string, name: string, type: string, Action = "connect") =>
    `${JSON.stringify({ Type: "network", Action, Actor: { ID: id, Attributes: { container: "ü", name, type } }, scope: "local" }).replace(/}$/, ',"timeNano":1795483832807821131}')}\n`;

  const told = async (filters: Json, lines: readonly string[], asked = filters) => {
    const until = Math.ceil(Date.now() / 1_000) + 60;
    const path = `/events?until=${until}&`;
    engine.answers.set(`GET ${filtered(path, asked)}`, [200, lines.join("")]);
    const { text } = await ask(host, filtered(path, filters));
    assert.doesNotMatch(
      text.replaceAll(":1795483832807821131}", ""),
      /timeNano":\d/,
      "to the last digit",
    );
    return text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as { Actor: { ID: string; Attributes: Json } });
  };

  it("is told of the cluster's network, made before or since, or removed meanwhile", async () => {
    const filters = { type: ["network"] };
    const lines = [
      event("10ca1-lan", "lan", "weft"),
      event("n3w", "ingress", "weft", "create"),
      event("0w0", "own", "bridge"),
    ];
    const events = await told(filters, lines);
    assert.deepEqual(
      events.map(({ Actor }) => Actor),
      [
        { ID: LAN, Attributes: { container: "ü", name: "lan", type: "overlay" } },
        { ID: INGRESS, Attributes: { container: "ü", name: "ingress", type: "overlay" } },
        { ID: "0w0", Attributes: { container: "ü", name: "own", type: "bridge" } },
      ],
    );
    await backend.store.update((tx) => tx.delete("network", LAN));
    const [destroyed] = await told(filters, [event("10ca1-lan", "lan", "weft", "destroy")]);
    assert.equal(destroyed?.Actor.ID, LAN);
  });

  it("is found by the cluster's id, and nothing else whose name begins alike", async () => {
    const lines = [event("10ca1-lan", "lan", "weft"), event("0w0", "lantern", "bridge")];
    const events = await told({ network: [LAN] }, lines, { network: [LAN, "lan"] });
    assert.deepEqual(
      events.map(({ Actor }) => Actor.ID),
      [LAN],
    );
    assert.equal((await told({ network: ["lan"] }, lines)).length, 2);
  });
});
