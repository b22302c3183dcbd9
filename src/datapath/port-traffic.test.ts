import assert from "node:assert/strict";
import { test } from "node:test";
import { ipv6Of } from "./ipv6.ts";
import { portTraffic } from "./port-traffic.ts";
import { makeEndpoint, makeService, makeView, SUBNET6 } from "./testing.ts";

test("sums by address are the endpoints' of the ports that were asked, over IPv4 and IPv6", () => {
  const ports = [8080, 8081].map((publishedPort) => ({
    ...{ protocol: "tcp" as const, publishedPort, targetPort: 80 },
  }));
  const endpoints = [makeEndpoint(), makeEndpoint({ taskID: "t2", address: "10.255.0.10" })];
  const host = { protocol: "udp", publishedPort: 53, targetPort: 53, taskID: "t3" } as const;
  const view = makeView({
    services: [makeService(8080, { serviceName: "web", ports, endpoints })],
    hostPorts: [{ ...host, address: "10.255.0.11" }],
  });
  const six = ipv6Of(SUBNET6, view.subnet, "10.255.0.9");
  const sums: [string, number][] = [
    ["tcp 8080 10.255.0.9", 1],
    [`tcp 8080 ${six}`, 2],
    ["tcp 8081 10.255.0.10", 4],
    ["udp 53 10.255.0.11", 8],
    // Of an endpoint that is gone, and of another port of the host's, led by somebody else.
    ["tcp 8080 10.255.0.77", 16],
    ["tcp 9 10.255.0.9", 32],
  ];
  const totals = new Map(
    sums.map(([key, n]) => {
      const received = { receivedPackets: n, receivedBytes: n };
      return [key, { connections: n, ...received, sentPackets: n, sentBytes: n }];
    }),
  );
  assert.deepEqual(
    portTraffic(view, totals).map(({ serviceName, publishedPort, taskID, totals }) => [
      ...[serviceName, publishedPort, taskID, totals.connections, totals.sentBytes],
    ]),
    [
      [undefined, 53, "t3", 8, 8],
      ["web", 8080, "t1", 3, 3],
      ["web", 8081, "t2", 4, 4],
    ],
  );
});
