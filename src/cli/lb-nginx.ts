/** A plan as nginx' configuration: streams, or with HTTP its own module for that. */
import { InvalidParameterError } from "../base/errors.ts";
import { withPort } from "../base/host-port.ts";
import { type BalancedPort, type BalancerPlan, sectionName } from "./lb-plan.ts";

export function nginxConfiguration(plan: BalancerPlan): string {
  const ports = plan.ports.filter(({ protocol }) => !plan.http || protocol === "tcp");
  if (ports.length === 0) {
    throw new InvalidParameterError(
      `service ${plan.service} publishes UDP alone, which is no HTTP`,
    );
  }
  const inner = [
    ...(plan.way === "names" ? [resolver(plan)] : []),
    ...ports.map((port) => (plan.way === "mesh" ? throughMesh(plan, port) : byName(plan, port))),
  ];
  const sections = [head(plan), general(plan), block(plan.http ? "http" : "stream", inner)];
  return `${sections.map((lines) => lines.join("\n")).join("\n\n")}\n`;
}

function head({ service, way, http }: BalancerPlan): string[] {
  return [
    `# nginx before Weft's service ${service}, as 'weft lb nginx' has made it.`,
    ...(way === "mesh"
      ? [
          "# Through the mesh: every node answers the published port and leads to a running task, its own or another's.",
          "# When tasks move, nothing here changes. When nodes come or go, make this file anew.",
        ]
      : [
          "# Straight to the tasks' own ports: nginx asks Weft's names where they are, each second, and follows them.",
        ]),
    ...(http ? [] : ["# Needs the stream module: Debian's libnginx-mod-stream."]),
    "# Check it:  nginx -t -c FILE",
  ];
}

function general({ http }: BalancerPlan): string[] {
  return [
    ...(http ? [] : ["include /etc/nginx/modules-enabled/*.conf;", ""]),
    "worker_processes auto;",
    "events {",
    "    worker_connections 10000;",
    "}",
  ];
}

function block(name: string, inner: readonly (readonly string[])[]): string[] {
  const lines = inner.flatMap((part, at) => (at === 0 ? part : ["", ...part]));
  return [`${name} {`, ...lines.map((line) => (line === "" ? line : `    ${line}`)), "}"];
}

function resolver({ resolvers }: BalancerPlan): string[] {
  return [
    "# Each node answers where its 'weft daemon --dns-listen' says; name several, so that one may be down.",
    `resolver ${resolvers.join(" ")} valid=1s ipv6=off;`,
    "resolver_timeout 2s;",
  ];
}

function throughMesh(plan: BalancerPlan, port: BalancedPort): string[] {
  const name = sectionName(plan, port);
  const servers = plan.servers.map(
    ({ address }) =>
      `    server ${withPort(address, port.publishedPort ?? 0)} max_fails=2 fail_timeout=2s;`,
  );
  const upstream = [
    `upstream ${name} {`,
    "    # A node that fails twice is given nothing for two seconds.",
    ...servers,
    "}",
  ];
  return [...upstream, ...server(plan, port, [passTo(plan, name)])];
}

function byName(plan: BalancerPlan, port: BalancedPort): string[] {
  const { service, zone } = plan;
  if (port.publishedPort === undefined) {
    throw new InvalidParameterError(
      `each task of service ${service} has a port of its own for ${port.targetPort}/${port.protocol}, which this nginx cannot look up: publish a fixed one (--publish mode=host,published=${port.targetPort},target=${port.targetPort}), or use HAProxy: weft lb haproxy ${service}`,
    );
  }
  return server(plan, port, [
    "# A name in a variable is looked up again and again; all of its addresses are tried in turn.",
    `set $tasks ${service}.${zone};`,
    passTo(plan, `$tasks:${port.publishedPort}`),
  ]);
}

function passTo({ http }: BalancerPlan, where: string): string {
  return `proxy_pass ${http ? "http://" : ""}${where};`;
}

function server({ http }: BalancerPlan, port: BalancedPort, inner: readonly string[]): string[] {
  const udp = port.protocol === "udp" ? " udp" : "";
  const next = http
    ? ["proxy_next_upstream error timeout;", "proxy_set_header Host $host;"]
    : ["proxy_next_upstream on;"];
  const lines = [
    "# What a server did not take goes to the next one.",
    "proxy_connect_timeout 1s;",
    ...next,
    ...inner,
  ];
  const listen = `listen ${port.listen}${udp};`;
  const indented = (depth: number) => lines.map((line) => `${" ".repeat(depth)}${line}`);
  const body = http ? ["    location / {", ...indented(8), "    }"] : indented(4);
  return ["server {", `    ${listen}`, ...body, "}"];
}
