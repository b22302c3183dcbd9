import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { metricsPage } from "../base/metrics.ts";
import { parseMetrics } from "../base/parse-metrics.ts";
import { makePort, makeTask } from "../cluster/factories.ts";
import { makeEndpoint, makeService } from "../datapath/testing.ts";
import {
  decodeLinkCounters,
  type MeshMetricsFacts,
  type MeteredTask,
  meshFamilies,
} from "./endpoint-metrics.ts";

const DEV = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
wv0aff0009: 5000      50    0    0    0     0          0         0     7000      70    0    0    0     0       0          0
`;

function metered(id: string, address: string, connections: number): MeteredTask {
  const ports = [makePort(), makePort({ publishedPort: 53, targetPort: 53, protocol: "udp" })];
  const task = makeTask({
    id,
    endpoint: { spec: { mode: "vip", ports }, ports, virtualIPs: [] },
    networksAttachments: [{ network: {} as never, addresses: [`${address}/16`] }],
  });
  const sockets = {
    served: new Set<string>(),
    served6: new Set<string>(),
    addresses6: new Set<string>(),
    connections: new Map([[80, connections]]),
    unread: new Set<number>(),
  };
  return { task, sockets };
}

function at(publishedPort: number) {
  return { protocol: "tcp", publishedPort } as const;
}

function carried(connections: number, packets: number) {
  const received = { receivedPackets: packets, receivedBytes: packets * 100 };
  return { connections, ...received, sentPackets: packets, sentBytes: packets * 1_000 };
}

const FACTS: MeshMetricsFacts = {
  tasks: [metered("t1", "10.255.0.9", 3), metered("t2", "10.255.0.10", 0)],
  counters: new Map([
    ["10.255.0.9", decodeLinkCounters(DEV).get("wv0aff0009") ?? assert.fail("no such link")],
  ]),
  traffic: {
    ports: [
      { ...{ serviceName: "web", taskID: "t1" }, ...at(8080), totals: carried(4, 10) },
      { ...{ serviceName: "web", taskID: "t3" }, ...at(8080), totals: carried(2, 5) },
      // In host mode: whose it is, the task says.
      { taskID: "t2", ...at(9000), totals: carried(1, 3) },
    ],
    losses: 0,
  },
  services: [
    makeService(8080, {
      serviceName: "web",
      endpoints: [makeEndpoint(), makeEndpoint({ address: "10.255.0.10", state: "draining" })],
    }),
  ],
  portProblems: 1,
  revision: 12,
};

function samples(facts: Partial<MeshMetricsFacts> = {}): Record<string, number> {
  const families = parseMetrics(metricsPage(meshFamilies({ ...FACTS, ...facts })));
  return Object.fromEntries([...families.values()].flatMap((family) => [...family.samples]));
}

describe("metrics of the mesh", () => {
  it("are of each port's endpoints, and of each task's links and sockets", () => {
    const t1 = 'service="web",slot="1",task_id="t1"';
    const t2 = 'service="web",slot="1",task_id="t2"';
    const port = 'service="web",protocol="tcp",port="8080"';
    const host = 'service="web",protocol="tcp",port="9000"';
    const ofPort = (task: string, connections: number, packets: number) => ({
      [`weft_port_connections_total{${task}}`]: connections,
      [`weft_port_receive_bytes_total{${task}}`]: packets * 100,
      [`weft_port_receive_packets_total{${task}}`]: packets,
      [`weft_port_transmit_bytes_total{${task}}`]: packets * 1_000,
      [`weft_port_transmit_packets_total{${task}}`]: packets,
    });
    assert.deepEqual(samples(), {
      ...ofPort(`${port},task_id="t1"`, 4, 10),
      ...ofPort(`${port},task_id="t3"`, 2, 5),
      ...ofPort(`${host},task_id="t2"`, 1, 3),
      weft_port_losses_total: 0,
      // What the host's end sends, the task receives.
      [`weft_endpoint_receive_bytes_total{${t1}}`]: 7000,
      [`weft_endpoint_receive_packets_total{${t1}}`]: 70,
      [`weft_endpoint_transmit_bytes_total{${t1}}`]: 5000,
      [`weft_endpoint_transmit_packets_total{${t1}}`]: 50,
      [`weft_endpoint_connections{${t1},port="80"}`]: 3,
      [`weft_endpoint_connections{${t2},port="80"}`]: 0,
      [`weft_service_endpoints{${port},state="live"}`]: 1,
      [`weft_service_endpoints{${port},state="draining"}`]: 1,
      weft_port_problems: 1,
      weft_applied_revision: 12,
    });
  });

  it("vanish with the tasks, and with what cannot be read", () => {
    const gone = samples({ tasks: [], traffic: undefined, services: [], revision: undefined });
    assert.deepEqual(gone, { weft_port_problems: 1 });
    const [task] = FACTS.tasks;
    assert(task !== undefined);
    const unread = samples({ tasks: [{ ...task, sockets: undefined }], counters: new Map() });
    assert.ok(Object.keys(unread).every((name) => !name.startsWith("weft_endpoint")));
  });
});
