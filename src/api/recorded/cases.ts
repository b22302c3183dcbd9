/**
 * Requests that a real Engine in swarm mode refuses, and Weft must refuse alike. `record.ts` asks an Engine and
 * writes refusals.json; the test asks Weft. In paths `{web}`, `{node}` and `{swarm}` are the current versions of
 * those objects, `{nodeID}` the only node's id.
 */
type Json = Readonly<Record<string, unknown>>;

export interface Case {
  readonly method: string;
  readonly path: string;
  /** A string is sent as it is. */
  readonly body?: Json | string;
}

const P80 = { Protocol: "tcp", TargetPort: 80, PublishedPort: 8080, PublishMode: "ingress" };
const CONTAINER = { ContainerSpec: { Image: "bb:1" } };

function spec(name: string, more: Json = {}): Json {
  const mode = { Replicated: { Replicas: 0 } };
  return { Name: name, TaskTemplate: CONTAINER, Mode: mode, ...more };
}

function publishing(...ports: readonly Json[]): Json {
  return { EndpointSpec: { Ports: ports } };
}

function templated(more: Json): Json {
  return { TaskTemplate: { ...CONTAINER, ...more } };
}

function contained(more: Json): Json {
  return { TaskTemplate: { ContainerSpec: { Image: "bb:1", ...more } } };
}

/** What is there before the first case: a service on 8080, and one on 9000 in host mode. */
export const SETUP: readonly Case[] = [
  create(spec("web", publishing(P80))),
  create(spec("hm", publishing({ ...P80, PublishedPort: 9000, PublishMode: "host" }))),
];

const WEB = spec("web", publishing(P80));
const NODE = { Labels: {}, Role: "manager", Availability: "active" };

export const CASES: readonly Case[] = [
  // Port conflicts come before duplicate names.
  ...[
    spec("web2", publishing(P80)),
    spec("web", publishing(P80)),
    spec("web"),
    spec("web2", publishing({ ...P80, PublishMode: "host" })),
    spec("hm2", publishing({ ...P80, PublishedPort: 9000 })),
    spec(
      "dup",
      publishing({ ...P80, PublishedPort: 91 }, { ...P80, PublishedPort: 91, TargetPort: 81 }),
    ),
    spec(
      "dup",
      publishing({ ...P80, PublishedPort: 91, PublishMode: "host" }, { ...P80, PublishedPort: 91 }),
    ),
    spec("rr", { EndpointSpec: { Mode: "dnsrr", Ports: [{ ...P80, PublishedPort: 92 }] } }),
    spec("mode", { EndpointSpec: { Mode: "foo" } }),
    { Name: "noimg", TaskTemplate: { ContainerSpec: {} } },
    { Name: "notmpl" },
    spec("badimg", { TaskTemplate: { ContainerSpec: { Image: "UPPER CASE" } } }),
    spec("_bad"),
    spec("bad_"),
    spec("-x"),
    spec("a b"),
    spec("a.b"),
    spec("x".repeat(64)),
    spec("two", { Mode: { Replicated: { Replicas: 1 }, Global: {} } }),
    spec("c1", templated({ Placement: { Constraints: ["node.role=manager"] } })),
    spec("c2", templated({ Placement: { Constraints: ["!!==x"] } })),
    spec("c3", templated({ Placement: { Constraints: ["node.role== "] } })),
    spec("c4", templated({ Placement: { Constraints: ["node.role==a;b"] } })),
    spec("r1", templated({ Resources: { Limits: { NanoCPUs: 1000 } } })),
    spec("r2", templated({ Resources: { Limits: { MemoryBytes: 1000 } } })),
    spec("r3", templated({ Resources: { Reservations: { NanoCPUs: 999_999 } } })),
    spec("r4", templated({ Resources: { Reservations: { MemoryBytes: -1 } } })),
    spec("p1", templated({ RestartPolicy: { Condition: "foo" } })),
    spec("p2", templated({ RestartPolicy: { Delay: -1 } })),
    spec("p3", templated({ RestartPolicy: { Window: -1 } })),
    spec("u1", { UpdateConfig: { Delay: -1 } }),
    spec("u2", { UpdateConfig: { Monitor: -1 } }),
    spec("u3", { UpdateConfig: { MaxFailureRatio: 2 } }),
    spec("u4", { UpdateConfig: { FailureAction: "foo" } }),
    spec("u5", { UpdateConfig: { Order: "foo" } }),
    spec("n1", templated({ Networks: [{ Target: "nope" }] })),
    spec("n2", templated({ Networks: [{ Target: "ingress" }] })),
    spec("rt", templated({ Runtime: "foo" })),
    spec("m1", contained({ Mounts: [{ Type: "foo", Source: "/x", Target: "/y" }] })),
    spec(
      "m2",
      contained({
        Mounts: [
          { Type: "tmpfs", Target: "/y" },
          { Type: "tmpfs", Target: "/y" },
        ],
      }),
    ),
    spec("hc", contained({ Healthcheck: { Interval: -1 } })),
    spec("hc", contained({ Healthcheck: { Retries: -1 } })),
  ].map(create),
  // JSON that is none, and JSON of other types.
  ...[
    '{"Name":',
    "",
    " ",
    "nul",
    "tru",
    "-",
    "null",
    "{}",
    "[1]",
    '"x"',
    '{"Name":1}',
    '{"Name":"a" "b"}',
    "{Name:1}",
    '{"a":1,}',
    "[1,]",
    "[1 2]",
    '{"Name":"\\x"}',
    '{"Name":"\\u12"}',
    '{"Name":"abc',
    '{"a":tru}',
    '{"a":1e}',
    '{"a":1.}',
    '{"a":-x}',
    '{"a":"\u0001"}',
    '{"Labels":{"a":1}}',
    '{"Labels":[]}',
    '{"Mode":1}',
    '{"Mode":{"Replicated":{"Replicas":"x"}}}',
    '{"Mode":{"Replicated":{"Replicas":-1}}}',
    '{"TaskTemplate":[]}',
    '{"TaskTemplate":{"ForceUpdate":-1}}',
    '{"TaskTemplate":{"ContainerSpec":"x"}}',
    '{"TaskTemplate":{"ContainerSpec":{"Env":"x"}}}',
    '{"TaskTemplate":{"ContainerSpec":{"Env":[1]}}}',
    '{"TaskTemplate":{"ContainerSpec":{"TTY":"x"}}}',
    '{"TaskTemplate":{"ContainerSpec":{"Init":1}}}',
    '{"TaskTemplate":{"ContainerSpec":{"StopGracePeriod":"10s"}}}',
    '{"TaskTemplate":{"ContainerSpec":{"Mounts":[1]}}}',
    '{"TaskTemplate":{"ContainerSpec":{"DNSConfig":1}}}',
    '{"TaskTemplate":{"ContainerSpec":{"Healthcheck":{"Retries":"x"}}}}',
    '{"TaskTemplate":{"ContainerSpec":{"Ulimits":[{"Soft":"x"}]}}}',
    '{"TaskTemplate":{"RestartPolicy":{"Delay":"x"}}}',
    '{"TaskTemplate":{"Placement":{"Constraints":"x"}}}',
    '{"TaskTemplate":{"Placement":{"Preferences":[{"Spread":1}]}}}',
    '{"TaskTemplate":{"Resources":{"Limits":{"NanoCPUs":"x"}}}}',
    '{"TaskTemplate":{"Resources":{"Limits":1}}}',
    '{"TaskTemplate":{"Networks":[{"Target":1}]}}',
    '{"TaskTemplate":{"LogDriver":{"Options":1}}}',
    '{"EndpointSpec":{"Ports":{}}}',
    '{"EndpointSpec":{"Ports":[{"Protocol":1}]}}',
    '{"EndpointSpec":{"Ports":[{"TargetPort":"80"}]}}',
    '{"EndpointSpec":{"Ports":[{"TargetPort":80.5}]}}',
    '{"EndpointSpec":{"Ports":[{"PublishedPort":-1}]}}',
    '{"EndpointSpec":{"Ports":[{"TargetPort":99999999999}]}}',
    '{"UpdateConfig":{"MaxFailureRatio":"x"}}',
    '{"UpdateConfig":{"Parallelism":-1}}',
    '{"UpdateConfig":{"FailureAction":1}}',
  ].map((body) => create(body)),
  // Updates.
  update("web?", WEB),
  update("web?version=x", WEB),
  update("web?version=-1", WEB),
  update("web?version=1", WEB),
  update("zzz?version=1", WEB),
  update("web?version={web}", { ...WEB, Name: "other" }),
  update("web?version={web}", { ...WEB, Mode: { Global: {} } }),
  update("web?version={web}", spec("web", publishing({ ...P80, PublishedPort: 9000 }))),
  update("web?version={web}&rollback=previous", WEB),
  update("web?version={web}&rollback=foo", WEB),
  update("web?version={web}&registryAuthFrom=zzz", WEB),
  update("web?version={web}", "{bad"),
  // Things that are not there, questions that make no sense.
  ...[
    "/services/zzz",
    "/tasks/zzz",
    "/nodes/zzz",
    "/networks/zzz",
    "/secrets/zzz",
    "/configs/zzz",
    "/services/zzz/logs?stdout=1",
    "/tasks/zzz/logs?stdout=1",
    "/services/web/logs",
    "/services/web/logs?stdout=1&tail=x",
    "/services/web/logs?stdout=1&since=x",
    "/services/web?insertDefaults=x",
    "/services?status=x",
    '/services?filters={"foo":["x"]}',
    "/services?filters=nojson",
    '/nodes?filters={"foo":["x"]}',
    '/nodes?filters={"role":["foo"]}',
    '/nodes?filters={"membership":["foo"]}',
    '/tasks?filters={"foo":["x"]}',
    '/tasks?filters={"desired-state":["foo"]}',
    '/tasks?filters={"service":["nope"]}',
    '/tasks?filters={"node":["nope"]}',
    '/secrets?filters={"foo":["x"]}',
    '/configs?filters={"foo":["x"]}',
    "/services/create",
    "/services/",
    "/nodes/",
    "/v1.99/services",
    "/v9/services",
    "/vx/services",
    "/v1.41/v1.41/services",
    "/nothing",
  ].map((path) => ({ method: "GET", path: encodeURI(path) })),
  { method: "PUT", path: "/services" },
  { method: "DELETE", path: "/services" },
  { method: "POST", path: "/services", body: "{}" },
  { method: "PATCH", path: "/nodes" },
  { method: "PUT", path: "/swarm" },
  { method: "POST", path: "/tasks" },
  { method: "DELETE", path: "/services/zzz" },
  { method: "DELETE", path: "/nodes/zzz" },
  { method: "DELETE", path: "/secrets/zzz" },
  { method: "DELETE", path: "/configs/zzz" },
  // Nodes.
  node("{nodeID}?", NODE),
  node("{nodeID}?version=1", NODE),
  node("{nodeID}?version={node}", { ...NODE, Role: "foo" }),
  node("{nodeID}?version={node}", { ...NODE, Availability: "foo" }),
  node("{nodeID}?version={node}", { ...NODE, Role: "worker" }),
  node("{nodeID}?version={node}", {}),
  node("{nodeID}?version={node}", "{bad"),
  node("zzz?version=1", NODE),
  { method: "DELETE", path: "/nodes/{nodeID}" },
  { method: "DELETE", path: "/nodes/{nodeID}?force=1" },
  // The swarm.
  { method: "POST", path: "/swarm/init", body: {} },
  { method: "POST", path: "/swarm/join", body: {} },
  { method: "POST", path: "/swarm/init", body: "{bad" },
  { method: "POST", path: "/swarm/leave" },
  { method: "POST", path: "/swarm/unlock", body: { UnlockKey: "x" } },
  swarm("", {}),
  swarm("version=x", {}),
  swarm("version=1", {}),
  swarm("version={swarm}&rotateWorkerToken=x", {}),
  swarm("version={swarm}", { Name: "foo" }),
  swarm("version={swarm}", { Name: "default", CAConfig: { NodeCertExpiry: 1 } }),
  swarm("version={swarm}", { Name: "default", Dispatcher: { HeartbeatPeriod: -1 } }),
  { method: "DELETE", path: "/networks/ingress" },
];

function create(body: Json | string): Case {
  return { method: "POST", path: "/services/create", body };
}

function update(rest: string, body: Json | string): Case {
  return { method: "POST", path: `/services/${rest.replace("?", "/update?")}`, body };
}

function node(rest: string, body: Json | string): Case {
  return { method: "POST", path: `/nodes/${rest.replace("?", "/update?")}`, body };
}

function swarm(query: string, body: Json): Case {
  return { method: "POST", path: `/swarm/update?${query}`, body };
}
