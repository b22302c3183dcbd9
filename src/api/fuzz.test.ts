/**
 * Whatever reaches the API's writing paths over the wire is answered as Docker answers, with a result or a message:
 * nothing of it is a fault of ours, nothing is half-written, and nothing of it stays in memory.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { createLogger } from "../base/logger.ts";
import { eventually } from "../dispatcher/loopback-cluster.ts";
import { ask, type FakeEngine } from "./fake-engine.ts";
import { FakeBackend, NODE_ID } from "./fake-manager.ts";
import { LoopbackApi } from "./loopback-api.ts";
import { API_ROUTES } from "./routes.ts";

const PAYLOAD = { Name: "taken", Labels: { a: "b" }, Data: "aGVsbG8=" };
const SERVICE = {
  Name: "web",
  Labels: { a: "b" },
  TaskTemplate: {
    ContainerSpec: {
      Image: "nginx",
      Env: ["A=1"],
      Mounts: [
        { Type: "bind", Source: "/a", Target: "/b", BindOptions: { Propagation: "rshared" } },
      ],
      Secrets: [{ SecretID: "x", SecretName: "y", File: { Name: "z", UID: "0", Mode: 292 } }],
      Healthcheck: { Test: ["CMD", "true"], Interval: 1_000_000_000, Retries: 3 },
      DNSConfig: { Nameservers: ["1.1.1.1"] },
      Privileges: { Seccomp: { Mode: "custom", Profile: "e30=" }, NoNewPrivileges: true },
      Ulimits: [{ Name: "nofile", Hard: 10, Soft: 5 }],
      StopGracePeriod: 1_000_000_000,
    },
    Resources: {
      Limits: { NanoCPUs: 500_000_000, MemoryBytes: 4_194_304, Pids: 5 },
      Reservations: { MemoryBytes: 4_194_304 },
    },
    RestartPolicy: { Condition: "any", Delay: 1, MaxAttempts: 2, Window: 3 },
    Placement: {
      Constraints: ["node.role==manager"],
      Preferences: [{ Spread: { SpreadDescriptor: "a" } }],
    },
    LogDriver: { Name: "json-file", Options: { a: "b" } },
    Networks: [{ Target: "back", Aliases: ["w"] }],
    ForceUpdate: 1,
  },
  Mode: { Replicated: { Replicas: 2 } },
  UpdateConfig: { Parallelism: 1, Delay: 1, FailureAction: "pause", Order: "stop-first" },
  EndpointSpec: {
    Mode: "vip",
    Ports: [{ Protocol: "tcp", TargetPort: 80, PublishedPort: 8080, PublishMode: "ingress" }],
  },
};
const NETWORK = {
  Name: "back",
  Driver: "overlay",
  Attachable: true,
  Internal: false,
  EnableIPv6: false,
  IPAM: { Driver: "default", Config: [{ Subnet: "10.77.0.0/24", Gateway: "10.77.0.1" }] },
  Options: { "com.docker.network.driver.mtu": "1400" },
  Labels: { a: "b" },
};
const CLUSTER = {
  Name: "default",
  Labels: {},
  Orchestration: { TaskHistoryRetentionLimit: 5 },
  Raft: { SnapshotInterval: 10_000, ElectionTick: 3, HeartbeatTick: 1 },
  Dispatcher: { HeartbeatPeriod: 5_000_000_000 },
  CAConfig: { NodeCertExpiry: 7_776_000_000_000_000, ExternalCAs: [] },
  TaskDefaults: { LogDriver: { Name: "json-file" } },
  EncryptionConfig: { AutoLockManagers: false },
};

/** A body that each writing path takes as it is; the fuzz begins with it. */
const BODIES: Readonly<Record<string, unknown>> = {
  "/services/create": SERVICE,
  "/services/:id/update": SERVICE,
  "/secrets/create": PAYLOAD,
  "/configs/create": PAYLOAD,
  "/secrets/:id/update": PAYLOAD,
  "/configs/:id/update": PAYLOAD,
  "/networks/create": NETWORK,
  "/networks/:id/connect": { Container: "c1", EndpointConfig: { Aliases: ["a"] } },
  "/networks/:id/disconnect": { Container: "c1", Force: true },
  "/containers/create": { Image: "nginx", HostConfig: { NetworkMode: "back" } },
  "/nodes/:id/update": { Name: "", Labels: { a: "b" }, Role: "manager", Availability: "active" },
  "/swarm/init": { ListenAddr: "0.0.0.0:2377", AdvertiseAddr: "eth0", Spec: CLUSTER },
  "/swarm/join": { RemoteAddrs: ["192.168.99.100:2377"], JoinToken: "SWMTKN-1-a-b" },
  "/swarm/update": CLUSTER,
  "/swarm/unlock": { UnlockKey: "SWMKEY-1-a" },
};
const IDS: Readonly<Record<string, readonly string[]>> = {
  nodes: [NODE_ID, "n1", "self"],
  services: ["web"],
  secrets: ["taken"],
  configs: ["taken"],
  networks: ["back", "ingress", "bridge"],
};

const extremes = fc.constantFrom<unknown>(
  ...[null, -1, 0, 1.5, 2 ** 53, 1e300, "", "\u0000", "x".repeat(10_000), [], {}, [[[[[[]]]]]]],
  ...[{ __proto__: null, constructor: 1 }, true, "0.0.0.0/0", "::1", "../../etc/passwd", "{{.}}"],
);
const value = fc.oneof(extremes, fc.jsonValue({ maxDepth: 3 }));
const change = fc.record({ at: fc.nat(), value, remove: fc.boolean() });
const version = fc.constantFrom("CURRENT", "CURRENT", "", "-1", "1e3", "0", "99999999999999999999");
const name = fc.oneof(
  { weight: 3, arbitrary: fc.nat() },
  { weight: 1, arbitrary: fc.string({ maxLength: 30 }) },
);
const request = fc.record({
  changes: fc.array(change, { maxLength: 4 }),
  raw: fc.oneof(
    { weight: 6, arbitrary: fc.constant(null) },
    { weight: 1, arbitrary: fc.string() },
    { weight: 1, arbitrary: fc.json().map((text) => text.slice(0, -1)) },
  ),
  version,
  name,
});
type Request = typeof request extends fc.Arbitrary<infer T> ? T : never;

const backend = new FakeBackend();
const faults: string[] = [];
let api: LoopbackApi;
let engine: FakeEngine;
let host: string;

before(async () => {
  await backend.populate();
  const log = createLogger({ level: "error", write: (line) => void faults.push(line) });
  api = await LoopbackApi.start({ backend, log });
  ({ engine, host } = api);
});
after(() => api[Symbol.asyncDispose]());

/** The value with one change: at some place of it, counted through. */
function changed(body: unknown, { at, value: other, remove }: Request["changes"][number]): unknown {
  const copy = structuredClone({ body }) as Record<string, unknown>;
  const places: (readonly [Record<string, unknown>, string])[] = [];
  const walk = (holder: Record<string, unknown>) => {
    for (const [key, inner] of Object.entries(holder)) {
      places.push([holder, key]);
      if (typeof inner === "object" && inner !== null) walk(inner as Record<string, unknown>);
    }
  };
  walk(copy);
  const [holder, key] = places[at % places.length] ?? [copy, "body"];
  if (remove) delete holder[key];
  else holder[key] = other;
  return copy["body"];
}

function urlOf(path: string, { name: id, version: asked }: Request): string {
  const kind = path.split("/")[1] ?? "";
  const known = IDS[kind] ?? [""];
  const reference = typeof id === "number" ? (known[id % known.length] ?? "") : id;
  const objects = backend.store.view();
  const current =
    kind === "swarm"
      ? objects.list("cluster")[0]
      : [...objects.list("service"), ...objects.list("secret"), ...objects.list("config")].find(
          ({ spec }) => spec.name === reference,
        );
  const index = `${(current ?? objects.list("node")[0])?.version.index ?? 0}`;
  const query = `version=${encodeURIComponent(asked === "CURRENT" ? index : asked)}`;
  return `${path.replace(":id", () => encodeURIComponent(reference) || "x")}?${query}`;
}

/** Resolves with the status, once it is seen that nothing went wrong on our side. */
async function send(path: string, sent: Request): Promise<number> {
  const body = sent.raw ?? JSON.stringify(sent.changes.reduce(changed, BODIES[path]));
  const answer = await ask(host, urlOf(path, sent), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    ...(body === undefined ? {} : { body }),
  });
  assert.deepEqual(faults.splice(0), [], `POST ${path} ${body}`);
  if (answer.status >= 400) {
    const { message } = answer.json as { message: unknown };
    assert.equal(typeof message, "string");
    assert.doesNotMatch(String(message), /\n {4}at |TypeError|undefined|\[object/);
  }
  backend.part = "manager";
  backend.calls.length = 0;
  engine.seen.length = 0;
  return answer.status;
}

const PLAIN: Request = { changes: [], raw: null, version: "CURRENT", name: 0 };

/** As if it had just begun, with one object of each kind. */
async function tidy(): Promise<void> {
  await backend.store.update((tx) => {
    for (const kind of ["service", "secret", "config"] as const)
      for (const { id } of tx.list(kind)) tx.delete(kind, id);
    for (const { id, spec } of tx.list("network")) if (!spec.ingress) tx.delete("network", id);
  });
  for (const path of ["/networks/create", "/secrets/create", "/configs/create"])
    assert.equal(await send(path, PLAIN), 201, path);
  const { Secrets: _, ...container } = SERVICE.TaskTemplate.ContainerSpec;
  const template = { ...SERVICE.TaskTemplate, ContainerSpec: container };
  const raw = JSON.stringify({ ...SERVICE, TaskTemplate: template });
  assert.equal(await send("/services/create", { ...PLAIN, raw }), 201);
}

const WRITING = API_ROUTES.filter(({ method }) => method === "POST");

for (const { path } of WRITING) {
  test(`POST ${path} takes or refuses whatever comes`, async () => {
    await tidy();
    await fc.assert(
      fc.asyncProperty(request, async (sent) => void (await send(path, sent))),
      { numRuns: 80 },
    );
  });
}

test("each writing path that takes a body has one to begin with", () => {
  const without = WRITING.map(({ path }) => path).filter((path) => BODIES[path] === undefined);
  assert.deepEqual(without, WITHOUT_BODY);
});

const WITHOUT_BODY = ["/networks/prune", "/swarm/leave", "/weft/gossip/rotate-key"];

test("bodies as large as may be leave nothing in memory, nor do those beyond", async () => {
  await tidy();
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const used = () => {
    collect();
    const { heapUsed, external, arrayBuffers } = process.memoryUsage();
    return (heapUsed + external + arrayBuffers) / 2 ** 20;
  };
  const large = (mebibytes: number) => `{"Name":"${"x".repeat(mebibytes * 2 ** 20)}`;
  const round = async () => {
    for (const path of ["/services/create", "/secrets/create", "/swarm/update", "/networks/create"])
      for (const mebibytes of [3, 5]) await send(path, { ...PLAIN, raw: large(mebibytes) });
  };
  await round();
  const before = used();
  for (let count = 0; count < 5; count++) await round();
  // A body that was cut off is gone with its connection, which ends in its own time.
  await eventually("160 MiB of bodies leave less than 16 MiB", () => used() - before < 16);
});
