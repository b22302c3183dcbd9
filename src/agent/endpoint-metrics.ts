/**
 * What the metrics page says of the mesh on this node, from two sides. Of published ports: what clients of this node have
 * sent and received, whichever node's endpoint served them, by conntrack's counters. Of this node's own tasks: what their
 * links count, with what the tasks themselves open in it, and their own sockets. No rule counts. Series go with the
 * endpoints and tasks.
 */
import { counter, gauge, type MetricFamily, type MetricSample } from "../base/metrics.ts";
import type { Task } from "../cluster/objects.ts";
import type { FlowTotals } from "../datapath/conntrack/flow-ledger.ts";
import type { EndpointTraffic, PortTraffic } from "../datapath/port-traffic.ts";
import type { MeshService } from "../datapath/view.ts";
import { taskAddress } from "./container-config.ts";
import type { TaskSockets } from "./task-sockets.ts";

/** A running task of this node that publishes ports. */
export interface MeteredTask {
  readonly task: Task;
  /** Undefined when its sockets cannot be read. */
  readonly sockets: TaskSockets | undefined;
}

/** Of the host's end of a link: what it receives, the task has sent. */
export interface LinkCounters {
  readonly receivedBytes: number;
  readonly receivedPackets: number;
  readonly sentBytes: number;
  readonly sentPackets: number;
}

export interface MeshMetricsFacts {
  readonly tasks: readonly MeteredTask[];
  /** By the task's address. */
  readonly counters: ReadonlyMap<string, LinkCounters>;
  /** Undefined where nobody counts. */
  readonly traffic: PortTraffic | undefined;
  readonly services: readonly MeshService[];
  readonly portProblems: number;
  readonly revision: number | undefined;
}

export function meshFamilies(facts: MeshMetricsFacts): readonly MetricFamily[] {
  const traffic = (value: (counters: LinkCounters) => number) =>
    facts.tasks.flatMap(({ task }): MetricSample[] => {
      const counters = facts.counters.get(taskAddress(task) ?? "");
      return counters === undefined ? [] : [{ labels: labelsOf(task), value: value(counters) }];
    });
  return [
    ...portFamilies(facts),
    gauge(
      "weft_endpoint_connections",
      "Open TCP connections from outside to a task of this node, by the port that it listens on.",
      facts.tasks.flatMap(connectionSamples),
    ),
    counter(
      "weft_endpoint_receive_bytes_total",
      "Bytes that a task of this node has received from the mesh.",
      traffic(({ sentBytes }) => sentBytes),
    ),
    counter(
      "weft_endpoint_receive_packets_total",
      "Packets that a task of this node has received from the mesh.",
      traffic(({ sentPackets }) => sentPackets),
    ),
    counter(
      "weft_endpoint_transmit_bytes_total",
      "Bytes that a task of this node has sent into the mesh.",
      traffic(({ receivedBytes }) => receivedBytes),
    ),
    counter(
      "weft_endpoint_transmit_packets_total",
      "Packets that a task of this node has sent into the mesh.",
      traffic(({ receivedPackets }) => receivedPackets),
    ),
    gauge(
      "weft_service_endpoints",
      "Endpoints of a published port, on any node, by what this node does with new connections.",
      facts.services.flatMap(serviceSamples),
    ),
    gauge(
      "weft_port_problems",
      "Published ports that a process of this host has, so that the mesh does not answer there.",
      facts.portProblems,
    ),
    gauge(
      "weft_applied_revision",
      "Endpoint revision that this node's kernel has.",
      facts.revision === undefined ? [] : facts.revision,
    ),
  ];
}

function portFamilies({ traffic, tasks }: MeshMetricsFacts): readonly MetricFamily[] {
  const { ports = [], losses } = traffic ?? {};
  const names = new Map(tasks.map(({ task }) => [task.id, task.serviceAnnotations.name]));
  const samples = (value: (totals: FlowTotals) => number) =>
    ports.map((port) => ({ labels: portLabels(port, names), value: value(port.totals) }));
  return [
    counter(
      "weft_port_connections_total",
      "Connections, or flows of datagrams, that clients of this node have opened to a published port and that an endpoint answered.",
      samples(({ connections }) => connections),
    ),
    counter(
      "weft_port_receive_bytes_total",
      "Bytes that clients of this node have sent to an endpoint of a published port, with IP and TCP headers.",
      samples(({ receivedBytes }) => receivedBytes),
    ),
    counter(
      "weft_port_receive_packets_total",
      "Packets that clients of this node have sent to an endpoint of a published port.",
      samples(({ receivedPackets }) => receivedPackets),
    ),
    counter(
      "weft_port_transmit_bytes_total",
      "Bytes that an endpoint of a published port has sent to clients of this node, with IP and TCP headers.",
      samples(({ sentBytes }) => sentBytes),
    ),
    counter(
      "weft_port_transmit_packets_total",
      "Packets that an endpoint of a published port has sent to clients of this node.",
      samples(({ sentPackets }) => sentPackets),
    ),
    counter(
      "weft_port_losses_total",
      "Times that more connections ended than could be read, so that some are missing in what ports have carried.",
      losses === undefined ? [] : losses,
    ),
  ];
}

/** Those of host mode are this node's own tasks'. */
function portLabels(
  { serviceName, protocol, publishedPort, taskID }: EndpointTraffic,
  names: ReadonlyMap<string, string>,
): Readonly<Record<string, string>> {
  const service = serviceName ?? names.get(taskID) ?? "";
  return { service, protocol, port: String(publishedPort), task_id: taskID };
}

function connectionSamples({ task, sockets }: MeteredTask): readonly MetricSample[] {
  if (sockets === undefined) return [];
  const targets = (task.endpoint?.ports ?? []).flatMap(({ protocol, targetPort }) =>
    protocol === "tcp" ? [targetPort] : [],
  );
  return [...new Set(targets)].map((target) => ({
    labels: { ...labelsOf(task), port: String(target) },
    value: sockets.connections.get(target) ?? 0,
  }));
}

function serviceSamples({ serviceName, ports, endpoints }: MeshService): readonly MetricSample[] {
  const count = (wanted: "live" | "draining") =>
    endpoints.filter(({ state }) => state === wanted).length;
  return ports.flatMap(({ protocol, publishedPort }) =>
    (["live", "draining"] as const).map((state) => ({
      labels: { service: serviceName, protocol, port: String(publishedPort), state },
      value: count(state),
    })),
  );
}

/** The slot says which replica it is, the id which of those that follow one another in it. */
function labelsOf(task: Task): Readonly<Record<string, string>> {
  return {
    service: task.serviceAnnotations.name,
    slot: task.slot === undefined ? "" : String(task.slot),
    task_id: task.id,
  };
}

/** The counters of all links, by name, from /proc/net/dev. */
export function decodeLinkCounters(table: string): ReadonlyMap<string, LinkCounters> {
  const counters = new Map<string, LinkCounters>();
  for (const line of table.split("\n").slice(2)) {
    const [name, rest] = line.split(":");
    const [receivedBytes, receivedPackets, , , , , , , sentBytes, sentPackets] = (rest ?? "")
      .trim()
      .split(/\s+/)
      .map(Number);
    if (name === undefined || receivedBytes === undefined || receivedPackets === undefined)
      continue;
    if (sentBytes === undefined || sentPackets === undefined) continue;
    counters.set(name.trim(), { receivedBytes, receivedPackets, sentBytes, sentPackets });
  }
  return counters;
}
