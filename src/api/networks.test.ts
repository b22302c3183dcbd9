/** Networks of the cluster over its store, beside an Engine's own: made, used, refused in Docker's words, and taken away. */
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { makeService, makeTask } from "../cluster/factories.ts";
import { ask, type FakeEngine } from "./fake-engine.ts";
import { FakeBackend, NODE_ID } from "./fake-manager.ts";
import { LoopbackApi } from "./loopback-api.ts";

type Json = Readonly<Record<string, unknown>>;

let api: LoopbackApi;
let engine: FakeEngine;
let backend: FakeBackend;
let host: string;

beforeEach(async () => {
  api = await LoopbackApi.start();
  ({ engine, backend, host } = api);
  engine.answers.set("GET /networks", [200, "[]"]);
});
afterEach(async () => {
  await api[Symbol.asyncDispose]();
});

async function send(method: string, path: string, body?: unknown): Promise<[number, Json]> {
  const init = body === undefined ? { method } : { method, body: JSON.stringify(body) };
  const { status, json } = await ask(host, path, init);
  return [status, (json ?? {}) as Json];
}

const overlay = (Name: string, more: Json = {}) => ({ Name, Driver: "overlay", ...more });

async function make(name: string, more: Json = {}): Promise<string> {
  const [status, answer] = await send("POST", "/networks/create", overlay(name, more));
  assert.equal(status, 201, JSON.stringify(answer));
  return answer["Id"] as string;
}

async function refusal(body: Json): Promise<string> {
  const [status, { message }] = await send("POST", "/networks/create", body);
  return `${status} ${message as string}`;
}

const inspect = async (name: string) => (await send("GET", `/networks/${name}`))[1];

describe("networks of the cluster", () => {
  it("are made with a number and a subnet of their own", async () => {
    const id = await make("lan", { CheckDuplicate: true });
    const { Created, ...lan } = await inspect("lan");
    assert.ok(typeof Created === "string");
    assert.deepEqual(lan, {
      Name: "lan",
      Id: id,
      Scope: "swarm",
      Driver: "overlay",
      EnableIPv6: false,
      IPAM: {
        Driver: "default",
        Options: null,
        Config: [{ Subnet: "10.0.1.0/24", Gateway: "10.0.1.1" }],
      },
      Internal: false,
      Attachable: false,
      Ingress: false,
      ConfigFrom: { Network: "" },
      ConfigOnly: false,
      Containers: null,
      Options: { "com.docker.network.driver.overlay.vxlanid_list": "4097" },
      Labels: null,
    });
  });

  it("have the subnets, the options and the labels that the user names", async () => {
    const Config = [{ Subnet: "10.9.0.0/24", IPRange: "10.9.0.128/25", Gateway: "10.9.0.254" }];
    await make("own", {
      ...{ Internal: true, Attachable: true, Labels: { a: "b" }, IPAM: { Config } },
      Options: { "com.docker.network.driver.mtu": "1400" },
    });
    const own = await inspect("own");
    assert.deepEqual(own["IPAM"], { Driver: "default", Options: null, Config });
    assert.deepEqual([own["Internal"], own["Attachable"], own["Labels"]], [true, true, { a: "b" }]);
    assert.deepEqual(own["Options"], {
      "com.docker.network.driver.mtu": "1400",
      "com.docker.network.driver.overlay.vxlanid_list": "4097",
    });
  });

  it("are refused in Docker's words", async () => {
    await make("lan");
    engine.answers.set("GET /networks/mine", [200, '{"Name":"mine","Driver":"bridge"}']);
    const rows: readonly (readonly [Json, RegExp])[] = [
      [overlay("lan"), /^409 network with name lan already exists$/],
      [{ Name: "lan", Driver: "bridge" }, /^409 network with name lan already exists$/],
      [overlay("mine"), /^409 network with name mine already exists$/],
      [overlay("a/b"), /^400 .*InvalidArgument desc = name must be valid as a DNS name component$/],
      [overlay("ing", { Ingress: true }), /^409 .*ingress network \(\w+\) is already present$/],
      [
        overlay("ing", { Ingress: true, Attachable: true }),
        /ingress network cannot be attachable$/,
      ],
      [{ Name: "x", Ingress: true }, /^400 Ingress network can only be global scope network$/],
      [{ Name: "x", Driver: "nope", Scope: "swarm" }, /^404 plugin "nope" not found$/],
      [overlay("x", { IPAM: { Driver: "nope" } }), /error during lookup of plugin nope$/],
      [
        overlay("x", { IPAM: { Config: [{ Subnet: "10.0.0.0/33" }] } }),
        /^400 Invalid subnet 10.0.0.0\/33 : invalid CIDR address/,
      ],
      [overlay("x", { Options: { encrypted: "" } }), /^501 encrypted overlay networks/],
      [overlay("x", { Options: { "com.docker.network.driver.mtu": "abc" } }), /^400 /],
    ];
    for (const [body, expected] of rows) assert.match(await refusal(body), expected);
    assert.equal(backend.store.view().list("network").length, 2);
    backend.part = "worker";
    assert.match(await refusal(overlay("x")), /^503 This node is not a swarm manager\./);
  });

  it("tell their making, their numbers and their end", async () => {
    await make("lan");
    await send("DELETE", "/networks/lan");
    const until = Math.ceil(Date.now() / 1_000) + 60;
    const url = `/events?since=1&until=${until}`;
    engine.answers.set(`GET ${url}`, [200, ""]);
    const lines = (await ask(host, url)).text.trim().split("\n");
    const events = lines.map((line) => JSON.parse(line) as { Action: string; Actor: Json });
    assert.deepEqual(
      events.map(({ Action, Actor }) => [Action, Actor["Attributes"]]),
      ["create", "update", "remove"].map((action) => [action, { name: "lan" }]),
    );
  });

  it("are on a worker those that it takes part in, under the cluster's ids", async () => {
    const id = await make("lan");
    const behind = { Name: "lan", Id: "e1", Driver: "weft", Scope: "local" };
    const bridge = { Name: "bridge", Id: "e2", Driver: "bridge", Scope: "local" };
    engine.answers.set("GET /networks", [200, JSON.stringify([behind, bridge])]);
    const Containers = { c1: { Name: "mine", IPv4Address: "10.0.1.9/32" } };
    engine.answers.set("GET /networks/lan", [200, JSON.stringify({ ...behind, Containers })]);
    const onManager = await inspect("lan");
    backend.part = "worker";
    const [, listed] = await send("GET", "/networks");
    const ingress = backend.store.view().list("network")[0]?.id;
    assert.deepEqual(
      (listed as unknown as readonly Json[]).map(({ Name, Id, Scope }) => [Name, Id, Scope]),
      [
        ["ingress", ingress, "swarm"],
        ["lan", id, "swarm"],
        ["bridge", "e2", "local"],
      ],
    );
    for (const reference of ["lan", id]) assert.deepEqual(await inspect(reference), onManager);
    const [status, { message }] = await send("DELETE", "/networks/lan");
    assert.equal(status, 503);
    assert.match(message as string, /^This node is not a swarm manager\. Worker nodes/);
    const [taken] = await send("POST", "/networks/create", { Name: "lan", Driver: "bridge" });
    assert.equal(taken, 409);
  });

  it("are the Engine's on a worker that no manager has spoken to yet", async () => {
    const behind = { Name: "lan", Id: "e1", Driver: "weft", Scope: "local" };
    engine.answers.set("GET /networks", [200, JSON.stringify([behind])]);
    backend.part = "worker";
    backend.networks = () => [];
    const [, listed] = await send("GET", "/networks");
    const shown = { ...behind, Driver: "overlay", Scope: "swarm", Ingress: false };
    assert.deepEqual(listed, [shown]);
  });

  it("are resolved to their ids in a service, which keeps them there", async () => {
    const id = await make("lan");
    const Networks = [{ Target: "lan", Aliases: ["www"] }];
    const TaskTemplate = { ContainerSpec: { Image: "bb:1" }, Networks };
    const [status, created] = await send("POST", "/services/create", { Name: "web", TaskTemplate });
    assert.equal(status, 201);
    const service = backend.store.view().get("service", created["ID"] as string);
    assert.deepEqual(service?.spec.taskTemplate.networks, [{ target: id, aliases: ["www"] }]);
    const [refused, { message }] = await send("DELETE", "/networks/lan");
    assert.equal(refused, 400);
    assert.equal(
      message,
      `rpc error: code = FailedPrecondition desc = network ${id} is in use by service ${service?.id}`,
    );
    await send("DELETE", "/services/web");
    assert.equal((await send("DELETE", "/networks/lan"))[0], 204);
    assert.equal((await send("GET", "/networks/lan"))[0], 404);
  });

  it("are told apart by filters, whether somebody uses them too", async () => {
    const id = await make("lan", { Labels: { a: "b" } });
    await make("idle");
    await backend.store.update((tx) => {
      tx.put("service", makeService({ id: "s", task: { networks: [{ target: id }] } }));
    });
    const names = async (filters: Json) => {
      const query = `filters=${encodeURIComponent(JSON.stringify(filters))}`;
      engine.answers.set(`GET /networks?${query}`, [200, "[]"]);
      const { json } = await ask(host, `/networks?${query}`);
      return (json as readonly Json[]).map(({ Name }) => Name);
    };
    assert.deepEqual(await names({ dangling: ["true"] }), ["idle"]);
    assert.deepEqual(await names({ dangling: ["false"] }), ["ingress", "lan"]);
    assert.deepEqual(await names({ label: ["a=b"] }), ["lan"]);
    assert.deepEqual(await names({ scope: ["local"] }), []);
  });

  it("show this host's containers and, when asked, all of their services", async () => {
    const id = await make("lan");
    const Containers = { c1: { Name: "web.1.x", IPv4Address: "10.0.1.5/32" } };
    const local = { Name: "lan", Driver: "weft", Containers };
    engine.answers.set("GET /networks/lan", [200, JSON.stringify(local)]);
    await backend.store.update((tx) => {
      tx.put(
        "service",
        makeService({
          ...{ id: "s", name: "web", task: { networks: [{ target: id }] } },
          endpoint: {
            spec: { mode: "vip", ports: [] },
            ports: [],
            virtualIPs: [{ networkID: id as never, addr: "10.0.1.2/24" }],
          },
        }),
      );
      const network = { id: id as never, name: "lan" };
      const networksAttachments = [{ network, addresses: ["10.0.1.5/24"] }];
      tx.put("task", makeTask({ id: "t", serviceID: "s", nodeID: NODE_ID, networksAttachments }));
    });
    const [, plain] = await send("GET", "/networks/lan");
    assert.deepEqual(plain["Containers"], { c1: { Name: "web.1.x", IPv4Address: "10.0.1.5/24" } });
    assert.equal(plain["Services"], undefined);
    const [, verbose] = await send("GET", "/networks/lan?verbose=true");
    assert.deepEqual(verbose["Services"], {
      web: {
        VIP: "10.0.1.2",
        Ports: [],
        LocalLBIndex: 0,
        Tasks: [
          {
            Name: "web.1.t",
            EndpointID: "",
            EndpointIP: "10.0.1.5",
            Info: { "Host IP": "192.168.99.100" },
          },
        ],
      },
    });
    assert.deepEqual(verbose["Peers"], [{ Name: "n1", IP: "192.168.99.100" }]);
  });

  it("are pruned with the Engine's when nobody uses them, Weft's own on the Engine unmentioned", async () => {
    const local = [
      { Name: "lan", Driver: "weft" },
      { Name: "mine", Driver: "bridge" },
    ];
    engine.answers.set("GET /networks", [200, JSON.stringify(local)]);
    engine.answers.set("POST /networks/prune", [200, '{"NetworksDeleted":["lan","mine"]}']);
    const id = await make("lan");
    await make("idle");
    await backend.store.update((tx) => {
      tx.put("service", makeService({ id: "s", task: { networks: [{ target: id }] } }));
    });
    const [, pruned] = await send("POST", "/networks/prune");
    assert.deepEqual(pruned, { NetworksDeleted: ["mine", "idle"] });
    const left = backend.store.view().list("network");
    assert.deepEqual(left.map(({ spec }) => spec.name).toSorted(), ["ingress", "lan"]);
  });

  it("include an ingress network of the user's own, after the first one went", async () => {
    await backend.store.update((tx) => {
      tx.put(
        "service",
        makeService({
          id: "s",
          ports: [{ protocol: "tcp", targetPort: 80, publishMode: "ingress" }],
        }),
      );
    });
    const [status, { message }] = await send("DELETE", "/networks/ingress");
    assert.equal(status, 400);
    assert.match(message as string, /ingress network cannot be removed because service s depends/);
    await send("DELETE", "/services/s");
    assert.equal((await send("DELETE", "/networks/ingress"))[0], 204);
    const Ports = [{ TargetPort: 80, PublishedPort: 8080 }];
    const spec = {
      Name: "p",
      TaskTemplate: { ContainerSpec: { Image: "bb:1" } },
      EndpointSpec: { Ports },
    };
    const [, refused] = await send("POST", "/services/create", spec);
    assert.match(refused["message"] as string, /service needs ingress network, but no ingress/);
    const Config = [{ Subnet: "10.11.0.0/16", Gateway: "10.11.0.2" }];
    await make("my-ingress", { Ingress: true, IPAM: { Config } });
    assert.equal((await inspect("my-ingress"))["Ingress"], true);
    assert.equal((await send("POST", "/services/create", spec))[0], 201);
  });
});
