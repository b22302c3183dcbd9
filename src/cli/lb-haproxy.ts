/** A plan as HAProxy's configuration. */
import { InvalidParameterError } from "../base/errors.ts";
import { withPort } from "../base/host-port.ts";
import { type BalancedPort, type BalancerPlan, sectionName } from "./lb-plan.ts";

export function haproxyConfiguration(plan: BalancerPlan): string {
  const ports = plan.ports.filter(({ protocol }) => protocol === "tcp");
  if (ports.length === 0) {
    throw new InvalidParameterError(
      `service ${plan.service} publishes UDP alone, which HAProxy does not balance; nginx does: weft lb nginx ${plan.service}`,
    );
  }
  const sections = [
    head(plan),
    general(plan),
    ...(plan.way === "names" ? [resolvers(plan)] : []),
    ...ports.flatMap((port) => [frontend(plan, port), backend(plan, port)]),
    statistics(),
  ];
  return `${sections.map((lines) => lines.join("\n")).join("\n\n")}\n`;
}

function head({ service, way, ports }: BalancerPlan): string[] {
  const left = ports.filter(({ protocol }) => protocol === "udp").map(({ listen }) => listen);
  return [
    `# HAProxy before Weft's service ${service}, as 'weft lb haproxy' has made it.`,
    ...(way === "mesh"
      ? [
          "# Through the mesh: every node answers the published port and leads to a running task, its own or another's.",
          "# When tasks move, nothing here changes. When nodes come or go, make this file anew.",
        ]
      : [
          "# Straight to the tasks' own ports: HAProxy asks Weft's names where they are, and follows them without a reload.",
        ]),
    "# Check it:  haproxy -c -f FILE",
    ...left.map(
      (port) => `# Not here: port ${port}/udp, which HAProxy does not balance (nginx does).`,
    ),
  ];
}

function general({ http }: BalancerPlan): string[] {
  return [
    "defaults",
    `   mode ${http ? "http" : "tcp"}`,
    "   timeout connect 1s",
    "   timeout client 60s",
    "   timeout server 60s",
    "   # What a server did not take goes to another one, at the first retry. When a node dies, its tasks may be",
    "   # led to for three seconds more: the retries, a second each, last longer than that.",
    "   retries 6",
    "   option redispatch 1",
    "   # A server that fails twice, a second apart, is given nothing until it answers again.",
    "   default-server check inter 1s fall 2 rise 1",
  ];
}

function resolvers({ resolvers: places }: BalancerPlan): string[] {
  return [
    "resolvers weft",
    "   # Each node answers where its 'weft daemon --dns-listen' says; name several, so that one may be down.",
    ...places.map((place, at) => `   nameserver weft${at + 1} ${place}`),
    "   accepted_payload_size 4096",
    "   resolve_retries 3",
    "   timeout resolve 1s",
    "   timeout retry 500ms",
    "   hold valid 1s",
    "   # A task that is named no more is given nothing new at once; the connections it has go on.",
    "   hold obsolete 0s",
    "   # With no answer at all the tasks known last are kept.",
    "   hold timeout 1h",
    "   hold refused 1h",
    "   hold other 1h",
  ];
}

function frontend(plan: BalancerPlan, port: BalancedPort): string[] {
  const name = sectionName(plan, port);
  return [`frontend ${name}`, `   bind *:${port.listen}`, `   default_backend ${name}`];
}

function backend(plan: BalancerPlan, port: BalancedPort): string[] {
  const { service, zone, slots, servers } = plan;
  const name = `_${port.targetPort}._${port.protocol}.${service}.${zone}`;
  return [
    `backend ${sectionName(plan, port)}`,
    "   balance roundrobin",
    ...(plan.way === "mesh"
      ? servers.map((server) => `   server ${server.name} ${place(server.address, port)} check`)
      : [
          `   # Up to ${slots} tasks; the rest of the lines is empty until there are more.`,
          `   server-template ${service} ${slots} ${name} resolvers weft resolve-prefer ipv4 init-addr none check`,
        ]),
  ];
}

function place(address: string, { publishedPort = 0 }: BalancedPort): string {
  return withPort(address, publishedPort);
}

/** On loopback: who sees it sees the cluster. */
function statistics(): string[] {
  return [
    "# What is up: http://127.0.0.1:8404/",
    "frontend statistics",
    "   mode http",
    "   bind 127.0.0.1:8404",
    "   stats enable",
    "   stats uri /",
    "   stats refresh 5s",
    "   stats show-legends",
  ];
}
