/** The cluster's paths over a store in memory: what is read, what is written, and what each part of a node may see. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { createServer as createNetServer } from "node:net";
import { afterEach, beforeEach, describe, it } from "node:test";
import { FakeClock } from "../base/clock.ts";
import { silentLogger } from "../base/logger.ts";
import { createRootCA } from "../ca/root-ca.ts";
import { makeNode, makePort, makeService, makeTask } from "../cluster/factories.ts";
import type { Service } from "../cluster/objects.ts";
import { type AskInit, ask, type FakeEngine } from "./fake-engine.ts";
import { FakeBackend, NODE_ID } from "./fake-manager.ts";
import type { GossipAnswer } from "./gossip.ts";
import { frame } from "./logs.ts";
import { LoopbackApi } from "./loopback-api.ts";
import { ApiServer } from "./server.ts";
import { encodeTlsInfo } from "./wire/trust-root.ts";

/** Any JSON: what is no object has no fields. */
interface Json {
  readonly [key: string]: Json | undefined;
}

let api: LoopbackApi;
let engine: FakeEngine;
let backend: FakeBackend;
let host: string;

beforeEach(async () => {
  api = await LoopbackApi.start();
  ({ engine, backend, host } = api);
});
afterEach(async () => {
  await api[Symbol.asyncDispose]();
});

function say(value: unknown): string {
  return typeof value === "string" ? value : (JSON.stringify(value) ?? "");
}

/** What the path answers, whose status must be 2xx. */
async function get(path: string, init?: AskInit): Promise<Json> {
  const answer = await ask(host, encodeURI(path), init);
  assert.ok(answer.status < 300, `${path}: ${answer.status} ${answer.text}`);
  return answer.json as Json;
}

/** The same, of a list. */
async function list(path: string): Promise<readonly Json[]> {
  return (await get(path)) as unknown as readonly Json[];
}

function post(path: string, body: unknown): Promise<Json> {
  return get(path, { method: "POST", body: JSON.stringify(body) });
}

async function refusal(path: string, init?: AskInit): Promise<[number, string]> {
  const answer = await ask(host, encodeURI(path), init);
  return [answer.status, say((answer.json as Json)["message"])];
}

async function put(...services: readonly Service[]): Promise<void> {
  await backend.store.update((tx) => {
    for (const service of services) tx.put("service", service);
  });
}

describe("services", () => {
  const spec = {
    Name: "web",
    TaskTemplate: { ContainerSpec: { Image: "nginx" } },
    EndpointSpec: { Ports: [{ TargetPort: 80, PublishedPort: 8080 }] },
  };

  it("is created with what its author left out, and read back", async () => {
    const { ID: id = "" } = await post("/v1.41/services/create", spec);
    const service = backend.store.view().get("service", say(id));
    assert.equal(service?.specVersion.index, service?.version.index);
    const read = await get("/services/web");
    assert.deepEqual(read["Spec"], {
      Name: "web",
      Labels: {},
      TaskTemplate: {
        ContainerSpec: { Image: "nginx", Isolation: "default" },
        ForceUpdate: 0,
        Runtime: "container",
      },
      Mode: { Replicated: { Replicas: 1 } },
      EndpointSpec: {
        Mode: "vip",
        Ports: [{ Protocol: "tcp", TargetPort: 80, PublishedPort: 8080, PublishMode: "ingress" }],
      },
    });
    assert.deepEqual(read["Endpoint"], { Spec: {} });
  });

  it("is refused where its options are none", async () => {
    const withOptions = (container: object, template: object = {}) =>
      ask(host, "/services/create", {
        method: "POST",
        body: JSON.stringify({
          Name: "web",
          TaskTemplate: { ContainerSpec: { Image: "nginx", ...container }, ...template },
        }),
      });
    const wild = await withOptions({ OomScoreAdj: 1_001 });
    assert.equal(wild.status, 400);
    assert.match(wild.text, /Invalid value 1001, range for oom score adj is \[-1000, 1000\]/);
    const swapping = await withOptions({}, { Resources: { SwapBytes: 1 } });
    assert.equal(swapping.status, 501);
    assert.match(swapping.text, /swap space of services is not supported/);
    assert.equal((await withOptions({ OomScoreAdj: -1_000 })).status, 201);
  });

  it("gets a name where it has none", async () => {
    const { Name: _, ...nameless } = spec;
    await post("/services/create", nameless);
    await post("/services/create", { ...nameless, EndpointSpec: {} });
    const names = (await list("/services")).map((service) => say(service["Spec"]?.["Name"]));
    assert.equal(new Set(names).size, 2);
    for (const name of names) assert.match(name, /^[a-z]+_[a-z]+\d*$/);
  });

  it("keeps the credentials for its image, and shows them to nobody", async () => {
    const body = JSON.stringify(spec);
    const headers = { "X-Registry-Auth": "c2VjcmV0" };
    await get("/services/create", { method: "POST", body, headers });
    const [service] = backend.store.view().list("service");
    assert.equal(service?.registryAuth, "c2VjcmV0");
    assert.doesNotMatch((await ask(host, "/services/web")).text, /c2VjcmV0/);
    const version = service?.version.index;
    await post(`/services/web/update?version=${version}&registryAuthFrom=spec`, {
      ...spec,
      Labels: { a: "b" },
    });
    assert.equal(backend.store.view().list("service")[0]?.registryAuth, "c2VjcmV0");
  });

  it("is updated from the version that its writer saw, keeps its last spec, and goes back to it", async () => {
    await post("/services/create", spec);
    const versionOf = async () => Number((await get("/services/web"))["Version"]?.["Index"]);
    await backend.store.update((tx) => {
      const [service] = tx.list("service");
      if (service === undefined) return;
      const updateStatus = { state: "completed", message: "update completed" } as const;
      tx.put("service", { ...service, updateStatus });
    });
    const scaled = { ...spec, Mode: { Replicated: { Replicas: 3 } } };
    await post(`/services/web/update?version=${await versionOf()}`, scaled);
    const updated = await get("/services/web");
    assert.equal(updated["Spec"]?.["Mode"]?.["Replicated"]?.["Replicas"], 3);
    assert.equal(updated["PreviousSpec"]?.["Mode"]?.["Replicated"]?.["Replicas"], 1);
    // A client that waits must not take the last update's end for this one's.
    assert.equal(updated["UpdateStatus"], undefined);
    await post(`/services/web/update?version=${await versionOf()}&rollback=previous`, scaled);
    const back = await get("/services/web");
    assert.equal(back["Spec"]?.["Mode"]?.["Replicated"]?.["Replicas"], 1);
    assert.equal(back["UpdateStatus"]?.["State"], "rollback_started");
    const [service] = backend.store.view().list("service");
    assert.equal(service?.specVersion.index, service?.version.index);
  });

  it("is listed by name, id, label and mode, with its counts", async () => {
    const global = makeService({ name: "agent", global: true, spec: { labels: { tier: "ops" } } });
    await put(makeService({ id: "s1", name: "web", replicas: 3 }), global);
    await backend.store.update((tx) => {
      tx.put("task", makeTask({ serviceID: "s1", state: "running" }));
      tx.put("task", makeTask({ serviceID: "s1", state: "pending" }));
      tx.put("task", makeTask({ serviceID: global.id, state: "starting" }));
      tx.put(
        "task",
        makeTask({ serviceID: global.id, state: "shutdown", desiredState: "shutdown" }),
      );
    });
    const named = async (filters: string) =>
      (await list(`/services?filters=${filters}`)).map((each) => each["Spec"]?.["Name"]);
    assert.deepEqual(await named('{"name":["we"]}'), ["web"]);
    assert.deepEqual(await named('{"name":{"we":true,"ag":false}}'), ["web"]);
    assert.deepEqual(await named('{"id":["s1"]}'), ["web"]);
    assert.deepEqual(await named('{"label":["tier=ops"]}'), ["agent"]);
    assert.deepEqual(await named('{"label":["tier=dev"]}'), []);
    assert.deepEqual(await named('{"mode":["global"]}'), ["agent"]);
    const listed = await list("/services?status=true");
    const counts = Object.fromEntries(
      listed.map((each) => [say(each["Spec"]?.["Name"]), each["ServiceStatus"]]),
    );
    assert.deepEqual(counts, {
      web: { RunningTasks: 1, DesiredTasks: 3, CompletedTasks: 0 },
      agent: { RunningTasks: 0, DesiredTasks: 1, CompletedTasks: 0 },
    });
  });

  for (const [what, port, words] of [
    ["no target", { TargetPort: 0 }, /invalid target port 0/],
    ["a target beyond", { TargetPort: 70_000 }, /invalid target port 70000/],
    ["a port beyond", { TargetPort: 80, PublishedPort: 70_000 }, /invalid published port 70000/],
    ["sctp", { TargetPort: 80, PublishedPort: 9, Protocol: "sctp" }, /9\/sctp cannot be published/],
    ["an unknown protocol", { TargetPort: 80, Protocol: "icmp" }, /invalid protocol: "icmp"/],
    ["an unknown mode", { TargetPort: 80, PublishMode: "x" }, /invalid publish mode: "x"/],
  ] as const) {
    it(`is refused with ${what}, which Docker takes and does not answer`, async () => {
      const body = JSON.stringify({ ...spec, EndpointSpec: { Ports: [port] } });
      const [status, message] = await refusal("/services/create", { method: "POST", body });
      assert.equal(status, 400);
      assert.match(message, words);
      assert.deepEqual(backend.store.view().list("service"), []);
    });
  }

  for (const [key, value, words] of [
    ["weft.drain.timeout", "soon", /label weft\.drain\.timeout: "soon" is no duration: .* 30s/],
    ["weft.drain.timout", "30s", /unknown label weft\.drain\.timout/],
    ["weft.publish.allow", "eth0", /"eth0" is neither an address nor a network/],
  ] as const) {
    it(`is neither made nor changed with the label ${key}=${value}`, async () => {
      const wrong = JSON.stringify({ ...spec, Labels: { tier: "web", [key]: value } });
      const made = await refusal("/services/create", { method: "POST", body: wrong });
      assert.equal(made[0], 400);
      assert.match(made[1], words);
      assert.deepEqual(backend.store.view().list("service"), []);
      await put(makeService({ id: "s", name: "web", spec: { labels: { tier: "old" } } }));
      const { version } = backend.store.view().get("service", "s") ?? assert.fail();
      const path = `/services/s/update?version=${version.index}`;
      const changed = await refusal(path, { method: "POST", body: wrong });
      assert.equal(changed[0], 400);
      assert.match(changed[1], words);
      assert.deepEqual(backend.store.view().get("service", "s")?.spec.labels, { tier: "old" });
    });
  }

  it("meets a port that the allocator gave to another", async () => {
    const ports = [makePort({ publishedPort: 30_000 })];
    const endpoint = { spec: { mode: "vip", ports: [] }, ports, virtualIPs: [] } as const;
    await put(makeService({ id: "auto", name: "auto", endpoint }));
    const body = JSON.stringify({
      ...spec,
      EndpointSpec: { Ports: [{ TargetPort: 80, PublishedPort: 30_000 }] },
    });
    const [status, message] = await refusal("/services/create", { method: "POST", body });
    assert.deepEqual(
      [status, message.includes("'30000' is already in use by service 'auto'")],
      [400, true],
    );
  });

  it("is refused beyond the bound of a body, and the next request is answered", async () => {
    const body = JSON.stringify({ ...spec, Labels: { big: "x".repeat(5 * 1024 * 1024) } });
    const [status, message] = await refusal("/services/create", { method: "POST", body });
    assert.deepEqual([status, message], [400, "the request's body is larger than 4 MiB"]);
    assert.deepEqual(await get("/services"), []);
  });
});

describe("tasks", () => {
  it("are found by service, node, state and whether they are what is asked for now", async () => {
    const service = makeService({ id: "s1", name: "web", specVersion: { index: 5 } });
    await put(service, makeService({ id: "s2", name: "api" }));
    const old = { containerSpec: { image: "nginx:old" } };
    await backend.store.update((tx) => {
      const current = service.spec.taskTemplate;
      tx.put("task", makeTask({ id: "t1", serviceID: "s1", nodeID: NODE_ID, spec: current }));
      tx.put("task", makeTask({ id: "t2", serviceID: "s1", spec: old, desiredState: "shutdown" }));
      tx.put("task", makeTask({ id: "t3", serviceID: "s2", nodeID: NODE_ID }));
    });
    const found = async (filters: string) =>
      (await list(`/tasks?filters=${filters}`)).map((task) => task["ID"]);
    assert.deepEqual(await found('{"service":["web"]}'), ["t1", "t2"]);
    assert.deepEqual(await found('{"node":["self"]}'), ["t1", "t3"]);
    assert.deepEqual(await found('{"node":["n1"],"service":["web"]}'), ["t1"]);
    assert.deepEqual(await found('{"desired-state":["shutdown"]}'), ["t2"]);
    assert.deepEqual(await found('{"service":["web"],"_up-to-date":["true"]}'), ["t1"]);
    assert.deepEqual(await found('{"id":["t3"]}'), ["t3"]);
  });

  it("show the host's ports that they were given, and the network that they are on", async () => {
    const ports = [makePort({ publishMode: "host" })];
    const [network] = backend.store.view().list("network");
    assert.ok(network);
    await backend.store.update((tx) =>
      tx.put(
        "task",
        makeTask({
          id: "t1",
          status: { portStatus: { ports }, containerStatus: { containerID: "c", pid: 7 } },
          networksAttachments: [
            { network: { id: network.id, name: "ingress" }, addresses: ["10.255.0.9/16"] },
          ],
        }),
      ),
    );
    const task = await get("/tasks/t1");
    assert.deepEqual(task["Status"]?.["PortStatus"], {
      Ports: [{ Protocol: "tcp", TargetPort: 80, PublishedPort: 8080, PublishMode: "host" }],
    });
    assert.deepEqual(task["Status"]?.["ContainerStatus"], {
      ContainerID: "c",
      PID: 7,
      ExitCode: 0,
    });
    const attachment = task["NetworksAttachments"]?.["0"];
    assert.equal(attachment?.["Network"]?.["Spec"]?.["Name"], "ingress");
    assert.deepEqual(attachment?.["Addresses"], ["10.255.0.9/16"]);
  });

  it("say on which nodes their service's port is somebody else's, unless they have worse to say", async () => {
    const ports = [makePort({ publishedPort: 22, targetPort: 22 })];
    const endpoint = { spec: { mode: "vip", ports }, ports, virtualIPs: [] } as const;
    await put(makeService({ id: "s1", name: "ssh", ports, endpoint }));
    const reason = "address already in use";
    const portProblems = [{ protocol: "tcp", publishedPort: 22, reason }] as const;
    await backend.store.update((tx) => {
      tx.put("node", makeNode({ id: "n2", hostname: "n2", portProblems }));
      tx.put("node", makeNode({ id: "n3", hostname: "n3", portProblems }));
      tx.put("task", makeTask({ id: "t1", serviceID: "s1" }));
      tx.put(
        "task",
        makeTask({ id: "t2", serviceID: "s1", state: "failed", desiredState: "shutdown" }),
      );
      tx.put("task", makeTask({ id: "t3", serviceID: "s1", status: { err: "no such image" } }));
    });
    const errors = (await list("/tasks")).map((task) => task["Status"]?.["Err"]);
    const words = `port 22/tcp: ${reason} on n2, n3`;
    assert.deepEqual(errors, [words, undefined, "no such image"]);
    assert.equal((await get("/nodes/n2"))["Status"]?.["Message"], `port 22/tcp: ${reason}`);
  });
});

describe("nodes", () => {
  it("are listed by role, name and label, and updated from the version that was seen", async () => {
    await backend.store.update((tx) =>
      tx.put("node", makeNode({ id: "n2", hostname: "n2", labels: { zone: "east" } })),
    );
    const found = async (filters: string) =>
      (await list(`/nodes?filters=${filters}`)).map((node) => node["ID"]);
    assert.deepEqual(await found('{"role":["worker"]}'), ["n2"]);
    assert.deepEqual(await found('{"node.label":["zone=east"]}'), ["n2"]);
    assert.deepEqual(await found('{"name":["n1"]}'), [NODE_ID]);
    assert.deepEqual(await found('{"membership":["pending"]}'), []);
    const { Version: version, Spec: spec } = await get("/nodes/n2");
    const drained = { ...(spec as object), Availability: "drain" };
    await post(`/nodes/n2/update?version=${say(version?.["Index"])}`, drained);
    assert.equal((await get("/nodes/n2"))["Spec"]?.["Availability"], "drain");
  });

  it("leave only when they are down, or by force", async () => {
    await backend.store.update((tx) => tx.put("node", makeNode({ id: "n2" })));
    const [status, message] = await refusal("/nodes/n2", { method: "DELETE" });
    assert.deepEqual(
      [status, message],
      [400, "rpc error: code = FailedPrecondition desc = node n2 is not down and can't be removed"],
    );
    assert.equal((await ask(host, "/nodes/n2?force=1", { method: "DELETE" })).status, 200);
    assert.equal(backend.store.view().get("node", "n2"), undefined);
  });
});

describe("the swarm", () => {
  it("is made, joined and left through the node behind", async () => {
    backend.part = "outside";
    assert.equal(await post("/swarm/init", { ListenAddr: "0.0.0.0:2377" }), NODE_ID);
    assert.match(backend.calls[0] ?? "", /"availability":"active".*|"heartbeatPeriod":5000000000/);
    await get("/swarm/leave?force=1", { method: "POST" });
    await post("/swarm/join", { JoinToken: "t", RemoteAddrs: ["192.168.99.100:2377"] });
    assert.match(backend.calls[2] ?? "", /^join .*"remoteAddrs":\["192.168.99.100:2377"\]/);
    assert.equal((await ask(host, "/swarm/leave", { method: "POST" })).status, 200);
  });

  it("is not made with numbers that nothing could work with", async () => {
    backend.part = "outside";
    const init = (numbers: object) =>
      refusal("/swarm/init", { method: "POST", body: JSON.stringify(numbers) });
    const range = "Datapath port number is not in valid range (1024-49151)";
    for (const [numbers, message] of [
      [{ SubnetSize: 30 }, "subnet size is out of range: 30"],
      [
        { DefaultAddrPool: ["10.20.0.0/16"], SubnetSize: 8 },
        'invalid CIDR: "10.20.0.0/16". Subnet size is too small for pool: 8',
      ],
      [
        { DefaultAddrPool: ["10.0.0.0/33"], SubnetSize: 24 },
        'invalid base pool "10.0.0.0/33": invalid CIDR address: 10.0.0.0/33',
      ],
      [{ DataPathPort: 80 }, `${range} : 80`],
      [{ DataPathPort: 49_152 }, `${range} : 49152`],
    ] as const)
      assert.deepEqual(await init(numbers), [400, message]);
    assert.deepEqual(backend.calls, []);
  });

  it("shows its join tokens and rotates them", async () => {
    const swarm = await get("/swarm");
    assert.deepEqual(swarm["JoinTokens"], { Worker: "SWMTKN-1-w", Manager: "SWMTKN-1-m" });
    await post(`/swarm/update?version=${say(swarm["Version"]?.["Index"])}&rotateWorkerToken=true`, {
      ...(swarm["Spec"] as object),
      Orchestration: { TaskHistoryRetentionLimit: 9 },
    });
    assert.deepEqual(backend.calls, ["rotate worker"]);
    assert.equal(
      backend.store.view().list("cluster")[0]?.spec.orchestration.taskHistoryRetentionLimit,
      9,
    );
  });

  it("hands a root of the user's own on, and neither keeps nor shows it", async () => {
    const swarm = await get("/swarm");
    const version = say(swarm["Version"]?.["Index"]);
    const spec = swarm["Spec"] ?? {};
    const caConfig = { ...spec["CAConfig"], ForceRotate: 1, SigningCACert: "c", SigningCAKey: "k" };
    await post(`/swarm/update?version=${version}`, { ...spec, CAConfig: caConfig });
    assert.deepEqual(backend.calls, [
      `change root ${JSON.stringify({ forceRotate: 1, signingCACert: "c", signingCAKey: "k" })}`,
    ]);
    const after = await get("/swarm");
    assert.deepEqual(after["Spec"]?.["CAConfig"], {
      NodeCertExpiry: 7_776_000_000_000_000,
      ForceRotate: 1,
    });
    assert.deepEqual(
      await refusal(`/swarm/update?version=${version}`, {
        method: "POST",
        body: JSON.stringify({ ...spec, CAConfig: { ...caConfig, ForceRotate: 2 } }),
      }),
      [500, "rpc error: code = Unknown desc = update out of sequence"],
    );
    assert.equal(backend.calls.length, 1);
  });

  it("shows a rotation with the root that it goes to, and each node's own word on its certificate", async () => {
    const [old, next] = [await createRootCA(Date.now()), await createRootCA(Date.now())];
    const tlsInfo = { trustRoot: "both", certIssuerSubject: "aa", certIssuerPublicKey: "bb" };
    await backend.store.update((tx) => {
      for (const cluster of tx.list("cluster")) {
        const rootRotation = { certificate: next.certificate, crossSigned: "" };
        tx.put("cluster", { ...cluster, rootCACertificate: old.certificate, rootRotation });
      }
      const node = tx.get("node", NODE_ID);
      if (node?.description === undefined) throw new Error("the node has no description");
      tx.put("node", { ...node, description: { ...node.description, tlsInfo } });
    });
    const swarm = await get("/swarm");
    assert.deepEqual(swarm["RootRotationInProgress"], true);
    assert.deepEqual(swarm["TLSInfo"], {
      ...encodeTlsInfo(next.certificate),
      TrustRoot: old.certificate,
    });
    const node = await get(`/nodes/${NODE_ID}`);
    assert.deepEqual(node["Description"]?.["TLSInfo"], {
      TrustRoot: "both",
      CertIssuerSubject: "aa",
      CertIssuerPublicKey: "bb",
    });
  });

  for (const [part, words] of [
    [
      "outside",
      /^This node is not a swarm manager. Use "docker swarm init" or "docker swarm join"/,
    ],
    ["worker", /^This node is not a swarm manager. Worker nodes can't be used to view or modify/],
  ] as const) {
    it(`is closed to a node that is ${part}`, async () => {
      backend.part = part;
      for (const path of [
        "/services",
        "/nodes/x",
        "/tasks",
        "/swarm",
        "/secrets",
        "/services/x/logs?stdout=1",
      ]) {
        const [status, message] = await refusal(path);
        assert.equal(status, 503, path);
        assert.match(message, words);
      }
    });
  }
});

describe("what is merged", () => {
  it("/info has the Engine's account and this node's part in the cluster", async () => {
    engine.answers.set("GET /info", [200, '{"ID":"E","Swarm":{"NodeID":"other"},"NCPU":2}']);
    const info = await get("/info");
    assert.deepEqual([info["ID"], info["NCPU"], info["Swarm"]?.["NodeID"]], ["E", 2, NODE_ID]);
    assert.deepEqual([info["Swarm"]?.["Nodes"], info["Swarm"]?.["Managers"]], [1, 1]);
    assert.equal(info["Swarm"]?.["Cluster"]?.["DataPathPort"], 4789);
    const { Swarm } = await get("/info");
    engine.answers.set("GET /info", [500, '{"message":"away"}']);
    assert.deepEqual(await get("/weft/node"), Swarm, "without an Engine too");
    backend.part = "outside";
    assert.equal((await get("/weft/node"))["LocalNodeState"], "inactive");
  });

  it("/networks has the cluster's once, and the Engine's without what is behind it", async () => {
    const local = [
      { Name: "bridge", Driver: "bridge", Scope: "local" },
      { Name: "ingress", Driver: "weft", Scope: "local" },
    ];
    engine.answers.set("GET /networks", [200, JSON.stringify(local)]);
    const rows = async () =>
      (await list("/networks")).map(
        ({ Name, Driver, Scope }) => `${say(Name)} ${say(Driver)} ${say(Scope)}`,
      );
    assert.deepEqual(await rows(), ["ingress overlay swarm", "bridge bridge local"]);
    backend.part = "worker";
    assert.deepEqual(await rows(), ["ingress overlay swarm", "bridge bridge local"]);
  });

  it("/networks/create passes a local network on, body and all", async () => {
    engine.answers.set("POST /networks/create", [201, '{"Id":"x"}']);
    assert.deepEqual(await post("/networks/create", { Name: "n", Driver: "bridge" }), { Id: "x" });
    assert.equal(engine.seen.at(-1)?.body, '{"Name":"n","Driver":"bridge"}');
  });

  it("/events has the cluster's between the Engine's, whole and filtered", async () => {
    const until = Math.ceil(Date.now() / 1_000) + 60;
    const url = `/events?since=1&until=${until}`;
    const local = '{"Type":"container","Action":"start"}';
    engine.answers.set(`GET ${url}`, [200, `${local}\n`]);
    await put(makeService({ id: "s1", name: "web" }));
    await backend.store.update((tx) => tx.delete("service", "s1"));
    const lines = (await ask(host, url)).text.trim().split("\n");
    const events = lines.map((line) => JSON.parse(line) as Json);
    assert.deepEqual(
      events.map((event) => `${say(event["Type"])} ${say(event["Action"])}`),
      ["service create", "service remove", "container start"],
    );
    assert.deepEqual(events[0]?.["Actor"], { ID: "s1", Attributes: { name: "web" } });
    const filtered = `${url}&filters=${encodeURIComponent('{"type":["container"]}')}`;
    engine.answers.set(`GET ${filtered}`, [200, `${local}\n`]);
    assert.equal((await ask(host, filtered)).text.trim(), local);
  });
});

describe("what is followed", () => {
  /** Opens a stream; `next` resolves once its text has what is waited for. */
  async function follow(path: string) {
    const socketPath = host.slice("unix://".length);
    const outgoing = request({ socketPath, path, agent: false });
    outgoing.end();
    const [answer] = (await once(outgoing, "response")) as [IncomingMessage];
    let text = "";
    answer.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
    const next = async (words: string) => {
      while (!text.includes(words)) await once(answer, "data");
    };
    return { answer, next, end: () => outgoing.destroy() };
  }

  it("tells of a later task as well, until its reader goes", async () => {
    await put(makeService({ id: "s1", name: "web" }));
    await backend.store.update((tx) =>
      tx.put("task", makeTask({ id: "t1", serviceID: "s1", nodeID: NODE_ID })),
    );
    const log = await follow("/services/web/logs?stdout=1&follow=1&tail=0");
    await log.next("hello from t1");
    await backend.store.update((tx) =>
      tx.put("task", makeTask({ id: "t2", serviceID: "s1", nodeID: NODE_ID })),
    );
    await log.next("hello from t2");
    assert.equal(backend.calls.length, 2);
    assert.doesNotMatch(backend.calls[1] ?? "", /"tail"/);
    log.end();
  });

  it("tells events as they come, and ends with the server", async () => {
    // An Engine that has nothing to tell, and does not end.
    engine.answers.set("GET /events", [200]);
    const events = await follow("/events");
    await put(makeService({ id: "s1", name: "web" }));
    await events.next('"Action":"create"');
    const ended = new Promise((resolve) => events.answer.once("close", resolve));
    events.answer.on("error", () => {});
    await api.server.stop();
    await ended;
  });

  it("waits for no Engine that hangs where it needs none", async () => {
    const hung = createNetServer();
    const path = `${engine.directory}/hung.sock`;
    await new Promise<void>((resolve) => hung.listen(path, resolve));
    const clock = new FakeClock();
    const other = `unix://${engine.directory}/weft2.sock`;
    const log = silentLogger;
    const init = { hosts: [other], dockerHost: `unix://${path}`, backend, log, version: "0.0.0" };
    const beside = new ApiServer({ ...init, clock });
    await beside.start();
    const asked = once(hung, "connection");
    const answer = ask(other, "/v1.41/services");
    await asked;
    clock.advance(1_000);
    assert.equal((await answer).status, 200);
    await beside.stop();
    await new Promise((resolve) => hung.close(resolve));
  });
});

describe("logs", () => {
  it("come from all placed tasks, framed, with the details that the CLI reads", async () => {
    await put(makeService({ id: "s1", name: "web" }));
    await backend.store.update((tx) => {
      tx.put("task", makeTask({ id: "t1", serviceID: "s1", nodeID: NODE_ID }));
      tx.put("task", makeTask({ id: "t2", serviceID: "s1" }));
    });
    const { text } = await ask(host, "/services/web/logs?stdout=1&stderr=1&details=1&tail=5");
    const details = `com.docker.swarm.node.id=${NODE_ID},com.docker.swarm.service.id=s1,com.docker.swarm.task.id=t1`;
    const line = Buffer.from(`${details} hello from t1\n`);
    assert.equal(text, Buffer.concat([frame("stdout", line), frame("stderr", line)]).toString());
    assert.deepEqual(backend.calls, [
      'logs {"stdout":true,"stderr":true,"follow":false,"tail":5,"id":"","taskIDs":["t1"]}',
    ]);
  });
});

describe("the gossip", () => {
  it("is shown as this node sees it, on any member", async () => {
    for (const part of ["manager", "worker"] as const) {
      backend.part = part;
      const { status, text } = await ask(host, "/weft/gossip");
      assert.equal(status, 200);
      const { Keys, Counters, Members, Ailments } = JSON.parse(text) as GossipAnswer;
      assert.deepEqual(Keys, ["0a1b2c3d"]);
      assert.equal(Counters.Unsealed, 1);
      assert.deepEqual(Ailments, [{ Kind: "udp", Addr: "192.168.99.101" }]);
      assert.deepEqual(Members[0], {
        ...{ ID: NODE_ID, Hostname: "n1", Addr: "192.168.99.100:7946", State: "alive" },
      });
      assert.deepEqual(Members[1], {
        ...{ ID: "n2n2n2n2n2n2n2n2n2n2n2n2n", Hostname: "n2", Addr: "192.168.99.101:7946" },
        ...{ State: "suspect", Lag: 2, Agrees: false, AnsweredMsAgo: 1_200 },
      });
    }
    backend.part = "outside";
    assert.equal((await ask(host, "/weft/gossip")).status, 503);
  });

  it("gets a new key when a manager is asked for one", async () => {
    assert.equal((await ask(host, "/weft/gossip/rotate-key", { method: "POST" })).status, 200);
    assert.deepEqual(backend.calls, ["rotate gossip key"]);
    backend.part = "worker";
    assert.equal((await ask(host, "/weft/gossip/rotate-key", { method: "POST" })).status, 503);
  });
});
