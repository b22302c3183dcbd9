/**
 * What the metrics page says of the mesh on this node. Nothing of it costs a packet anything: traffic is what the links of
 * the tasks count anyway, connections are the tasks' own sockets, and no rule counts. So traffic is by task and not by
 * port, and holds what the task itself opens. Series are of tasks that run here, and go with them.
 */
import { counter, gauge, type MetricFamily, type MetricSample } from "../base/metrics.ts";
import type { Task } from "../cluster/objects.ts";
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
