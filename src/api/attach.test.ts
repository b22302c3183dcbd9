/** Containers of users' own in the cluster's networks: what the Engine is asked in place of what the user asked. */
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { makeOverlay } from "../cluster/factories.ts";
import { ask, type FakeEngine } from "./fake-engine.ts";
import { FakeBackend } from "./fake-manager.ts";
import { LoopbackApi } from "./loopback-api.ts";

let api: LoopbackApi;
let engine: FakeEngine;
let backend: FakeBackend;
let host: string;

beforeEach(async () => {
  api = await LoopbackApi.start();
  ({ engine, backend, host } = api);
  await backend.store.update((tx) => {
    tx.put("network", makeOverlay({ id: "lan-id", name: "lan", spec: { attachable: true } }));
    tx.put("network", makeOverlay({ id: "shut-id", name: "shut" }));
  });
});
afterEach(async () => {
  await api[Symbol.asyncDispose]();
});

async function post(path: string, body: unknown): Promise<[number, unknown]> {
  const { status, json } = await ask(host, path, { method: "POST", body: JSON.stringify(body) });
  return [status, json];
}

const lastBody = () => JSON.parse(engine.seen.at(-1)?.body ?? "null") as unknown;

describe("a container of a user's own", () => {
  it("is made in the Engine's network with the managers' address, and without its aliases", async () => {
    engine.answers.set("POST /v1.41/containers/create?name=mine", [201, '{"Id":"c1"}']);
    const [status, answer] = await post("/v1.41/containers/create?name=mine", {
      Image: "bb:1",
      HostConfig: { NetworkMode: "lan-id", Memory: 1 },
      NetworkingConfig: {
        EndpointsConfig: {
          "lan-id": { Aliases: ["foo"], IPAMConfig: { IPv4Address: "10.0.1.77" } },
        },
      },
    });
    assert.deepEqual([status, answer], [201, { Id: "c1" }]);
    assert.deepEqual(lastBody(), {
      Image: "bb:1",
      HostConfig: { NetworkMode: "lan", Memory: 1 },
      NetworkingConfig: {
        EndpointsConfig: {
          lan: { Aliases: null, NetworkID: "", IPAMConfig: { IPv4Address: "10.0.1.77" } },
        },
      },
    });
    const asked = {
      network: "lan-id",
      containerName: "mine",
      aliases: ["foo"],
      address: "10.0.1.77",
    };
    assert.deepEqual(backend.calls, [`attach ${JSON.stringify(asked)}`, "settle a1"]);
  });

  it("has a name before it is made, since the cluster answers for it", async () => {
    await post("/containers/create", { Image: "bb:1", HostConfig: { NetworkMode: "lan" } });
    const name = new URL(engine.seen.at(-1)?.url ?? "", "http://e").searchParams.get("name");
    assert.match(name ?? "", /^[a-z]+_[a-z]+$/);
    assert.ok(backend.calls[0]?.includes(`"containerName":"${name}"`));
    assert.equal(backend.calls.at(-1), "settle a1", "its place is looked after, as it was refused");
  });

  it("passes to the Engine untouched where no network of the cluster is named", async () => {
    engine.answers.set("GET /networks/own", [200, '{"Name":"own","Driver":"bridge"}']);
    for (const NetworkMode of [
      "default",
      "bridge",
      "host",
      "none",
      "container:x",
      "own",
      "nosuch",
    ]) {
      const body = { Image: "bb:1", HostConfig: { NetworkMode } };
      await post("/containers/create?name=x", body);
      assert.deepEqual(lastBody(), body, NetworkMode);
    }
    assert.deepEqual(backend.calls, []);
  });

  it("is refused in Docker's words where the network is not attachable", async () => {
    const [status, answer] = await post("/containers/create?name=x", {
      HostConfig: { NetworkMode: "shut" },
    });
    assert.equal(status, 403);
    assert.deepEqual(answer, {
      message:
        "Could not attach to network shut: rpc error: code = PermissionDenied desc = network shut not manually attachable",
    });
  });

  it("is connected and disconnected by any name of the network", async () => {
    const container = { Name: "/mine", NetworkSettings: { Networks: { bridge: {} } } };
    engine.answers.set("GET /containers/c1/json", [200, JSON.stringify(container)]);
    engine.answers.set("POST /networks/lan/connect", [200, ""]);
    engine.answers.set("POST /networks/lan/disconnect", [200, ""]);
    const EndpointConfig = { Aliases: ["six"] };
    const [status] = await post("/networks/lan-id/connect", { Container: "c1", EndpointConfig });
    assert.equal(status, 200);
    assert.deepEqual(lastBody(), {
      Container: "c1",
      EndpointConfig: { Aliases: null, NetworkID: "", IPAMConfig: { IPv4Address: "10.0.1.9" } },
    });
    assert.ok(backend.calls[0]?.includes('"aliases":["six"]'));
    assert.deepEqual(await post("/networks/lan-id/disconnect", { Container: "c1" }), [
      200,
      undefined,
    ]);
    const connected = { Name: "/mine", NetworkSettings: { Networks: { lan: {} } } };
    engine.answers.set("GET /containers/c1/json", [200, JSON.stringify(connected)]);
    assert.deepEqual(await post("/networks/lan/connect", { Container: "c1" }), [
      403,
      { message: "c1 is already attached to network lan" },
    ]);
    assert.deepEqual(await post("/networks/lan/connect", { Container: "c9" }), [
      404,
      { message: "No such container: c9" },
    ]);
  });
});
