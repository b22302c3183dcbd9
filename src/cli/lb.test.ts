import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { haproxyConfiguration } from "./lb-haproxy.ts";
import { nginxConfiguration } from "./lb-nginx.ts";
import {
  type BalancerOptions,
  balancerPlan,
  type NodeAnswer,
  type ServiceAnswer,
} from "./lb-plan.ts";

const run = promisify(execFile);

const NODES: readonly NodeAnswer[] = [
  { ID: "b", Description: { Hostname: "n2" }, Status: { Addr: "192.168.99.101" } },
  { ID: "a", Description: { Hostname: "n1" }, Status: { Addr: "192.168.99.100" } },
  { ID: "c", Description: { Hostname: "n2" }, Status: { Addr: "fd00::1" } },
  { ID: "d", Description: { Hostname: "unknown" }, Status: {} },
];
const OPTIONS: BalancerOptions = {
  ...{ http: false, resolvers: ["192.168.99.100:53", "127.0.0.1:9353"] },
  ...{ zone: "weft", slots: 10 },
};

type Port = NonNullable<NonNullable<ServiceAnswer["Endpoint"]>["Ports"]>[number];
const web: Port = { Protocol: "tcp", TargetPort: 80, PublishedPort: 8080, PublishMode: "ingress" };
const dns: Port = { Protocol: "udp", TargetPort: 53, PublishedPort: 5353, PublishMode: "ingress" };
const fixed: Port = { Protocol: "tcp", TargetPort: 81, PublishedPort: 8081, PublishMode: "host" };
const random: Port = { Protocol: "tcp", TargetPort: 82, PublishMode: "host" };

function planOf(ports: readonly Port[], options: Partial<BalancerOptions> = {}) {
  const service = { Spec: { Name: "my-web" }, Endpoint: { Ports: ports } };
  return balancerPlan(service, NODES, { ...OPTIONS, ...options });
}

test("every node is a server of the mesh, with a name of its own", () => {
  const { way, servers, ports } = planOf([web, fixed]);
  assert.equal(way, "mesh");
  assert.deepEqual(servers, [
    { name: "n1", address: "192.168.99.100" },
    { name: "n2-b", address: "192.168.99.101" },
    { name: "n2-c", address: "fd00::1" },
  ]);
  assert.deepEqual(
    ports.map(({ listen }) => listen),
    [80],
    "a host-mode port is not the mesh's",
  );
  assert.equal(planOf([random]).way, "names");
});

test("what cannot be balanced is said with its cure", () => {
  assert.throws(() => planOf([]), /publishes no port: docker service update --publish-add/);
  assert.throws(() => planOf([fixed], { way: "mesh" }), /--way names/);
  assert.throws(() => haproxyConfiguration(planOf([dns])), /weft lb nginx my-web/);
  assert.throws(() => nginxConfiguration(planOf([random])), /weft lb haproxy my-web/);
  assert.throws(() => nginxConfiguration(planOf([dns], { http: true })), /no HTTP/);
});

test("HAProxy is led to nodes, or follows names", () => {
  const mesh = haproxyConfiguration(planOf([web, dns], { http: true }));
  assert.match(mesh, /^ {3}server n1 192\.168\.99\.100:8080 check$/m);
  assert.match(mesh, /^ {3}server n2-c \[fd00::1\]:8080 check$/m);
  assert.match(mesh, /port 53\/udp/);
  const names = haproxyConfiguration(planOf([random], { zone: "lab" }));
  assert.match(names, /server-template my-web 10 _82\._tcp\.my-web\.lab resolvers weft/);
  assert.match(names, /^ {3}nameserver weft2 127\.0\.0\.1:9353$/m);
});

const VARIANTS = [
  ["the mesh", { ports: [web] }],
  ["the mesh by HTTP", { ports: [web, fixed], options: { http: true } }],
  ["two ports", { ports: [web, { ...web, TargetPort: 443, PublishedPort: 8443 }, dns] }],
  ["names", { ports: [fixed] }],
  ["names by HTTP", { ports: [fixed], options: { http: true } }],
  ["names of the mesh", { ports: [web], options: { way: "names" } }],
] as const satisfies readonly (readonly [
  string,
  { ports: readonly Port[]; options?: Partial<BalancerOptions> },
])[];

const hasStreams = existsSync("/usr/lib/nginx/modules/ngx_stream_module.so");

describe("the balancers themselves accept what is printed", () => {
  let directory: string;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "weft-lb-"));
  });
  after(async () => await rm(directory, { recursive: true }));

  for (const [name, variant] of VARIANTS) {
    const options = "options" in variant ? variant.options : {};
    const http = "http" in options;
    const plan = planOf(variant.ports, options);
    const noHAProxy = existsSync("/usr/sbin/haproxy") ? false : "haproxy is not installed";
    test(`HAProxy: ${name}`, { skip: noHAProxy }, async () => {
      const path = join(directory, "haproxy.cfg");
      await writeFile(path, haproxyConfiguration(plan));
      const { stdout, stderr } = await run("haproxy", ["-c", "-f", path]);
      assert.doesNotMatch(stdout + stderr, /WARNING|ALERT/);
    });
    const noNginx =
      existsSync("/usr/sbin/nginx") && (http || hasStreams)
        ? false
        : "nginx or its stream module is not installed";
    test(`nginx: ${name}`, { skip: noNginx }, async () => {
      const path = join(directory, "nginx.conf");
      await writeFile(path, nginxConfiguration(plan));
      const elsewhere = `pid ${join(directory, "nginx.pid")}; error_log stderr;`;
      const { stderr } = await run("nginx", ["-t", "-c", path, "-g", elsewhere]);
      assert.match(stderr, /test is successful/);
      assert.doesNotMatch(stderr, /\[warn\]/);
    });
  }
});
