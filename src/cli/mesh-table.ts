/** What `weft mesh` prints, from the daemon's answer. Pure. */

import type {
  KernelState,
  MeshAnswer,
  MeshEndpointAnswer,
  MeshNodeAnswer,
  MeshPortAnswer,
} from "../api/mesh.ts";
import { isLinkName } from "../base/link-name.ts";

/** A line for each published port on each node. */
export function describeMesh(answer: MeshAnswer): string[] {
  const head = ["SERVICE", "PORT", "NODE", "LIVE", "DRAINING", "HIDDEN", "CONNECTIONS", "KERNEL"];
  const rows = answer.Services.flatMap(({ Name, Ports }) =>
    Ports.flatMap((port) => answer.Nodes.map((node) => portRow(Name, port, node, answer.Revision))),
  );
  return [...align([head, ...rows]), ...describeLimits(answer.Nodes)];
}

/** A line for each node that answers not at all its addresses by default, and for each port that one does not answer. */
function describeLimits(nodes: readonly MeshNodeAnswer[]): string[] {
  const defaults = nodes.flatMap(({ Hostname, PublishDefault }) =>
    PublishDefault === undefined
      ? []
      : `${Hostname} answers at ${placesOf(PublishDefault)} alone, unless a service says otherwise`,
  );
  const unanswered = nodes.flatMap(({ Hostname, Unanswered = [] }) =>
    Unanswered.map(
      ({ Protocol, PublishedPort, Reason }) =>
        `${Hostname} does not answer port ${PublishedPort}/${Protocol}: ${Reason}`,
    ),
  );
  const said = [...defaults, ...unanswered];
  return said.length === 0 ? [] : ["", ...said];
}

/** As "its addresses in 10.0.0.0/8 and those of eth1". */
function placesOf(words: readonly string[]): string {
  const networks = words.filter((word) => !isLinkName(word));
  const names = words.filter(isLinkName);
  return [
    ...(networks.length === 0 ? [] : [`its addresses in ${networks.join(", ")}`]),
    ...(names.length === 0 ? [] : [`those of ${names.join(", ")}`]),
  ].join(" and ");
}

/** A line for each endpoint, with each node's kernel as a column. */
export function describeService(answer: MeshAnswer): string[] {
  const names = new Map(answer.Nodes.map(({ ID, Hostname }) => [ID, Hostname]));
  const head = ["TASK", "PORT", "ADDRESS", "RUNS ON", "WANTED"];
  const columns = answer.Nodes.map(({ Hostname }) => `KERNEL OF ${Hostname}`);
  const rows = answer.Services.flatMap(({ Name, Ports }) =>
    Ports.flatMap((port) =>
      port.Endpoints.map((endpoint) => [
        `${Name}.${endpoint.Slot ?? endpoint.TaskID}`,
        nameOf(port),
        endpoint.Address,
        names.get(endpoint.NodeID) ?? endpoint.NodeID,
        endpoint.Wanted,
        ...answer.Nodes.map((node) => endpointCell(endpoint, port, node)),
      ]),
    ),
  );
  const lag = answer.Nodes.map((node) => `${node.Hostname}: ${lagOf(node, answer.Revision)}`);
  return [...align([[...head, ...columns], ...rows]), "", ...lag, ...describeLimits(answer.Nodes)];
}

function portRow(
  service: string,
  port: MeshPortAnswer,
  node: MeshNodeAnswer,
  revision: number,
): string[] {
  const kernels = port.Endpoints.flatMap(({ Kernels }) => Kernels[node.ID] ?? []);
  const count = (state: KernelState) =>
    String(kernels.filter(({ State }) => State === state).length);
  const connections = kernels.reduce((sum, { Connections }) => sum + Connections, 0);
  const counts = [count("live"), count("draining"), count("hidden"), String(connections)];
  const cell = isUnanswered(port, node) ? "-" : "?";
  const shown = node.Answered && cell === "?" ? counts : counts.map(() => cell);
  return [service, nameOf(port), node.Hostname, ...shown, lagOf(node, revision)];
}

function endpointCell(
  { Kernels }: MeshEndpointAnswer,
  port: MeshPortAnswer,
  node: MeshNodeAnswer,
): string {
  const kernel = Kernels[node.ID];
  if (kernel === undefined) return "?";
  if (isUnanswered(port, node)) return "not answered";
  return kernel.Connections === 0 ? kernel.State : `${kernel.State}, ${kernel.Connections} conn`;
}

function isUnanswered(port: MeshPortAnswer, { Unanswered = [] }: MeshNodeAnswer): boolean {
  return Unanswered.some(
    ({ Protocol, PublishedPort }) =>
      Protocol === port.Protocol && PublishedPort === port.PublishedPort,
  );
}

function lagOf({ Answered, Revision }: MeshNodeAnswer, revision: number): string {
  if (!Answered) return "does not answer";
  return Revision === revision ? "up to date" : `at revision ${Revision} of ${revision}`;
}

function nameOf({ Protocol, PublishedPort, TargetPort }: MeshPortAnswer): string {
  return `${PublishedPort}->${TargetPort}/${Protocol}`;
}

/** Columns as wide as their widest cell. */
export function align(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? "").length)),
  );
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("   ")
      .trimEnd(),
  );
}
