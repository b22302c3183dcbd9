/** What this node says of its own endpoints to the others, of those that managers have told it: pure, from the facts of now. */
import { isTerminal, type Task, type TaskStatus } from "../cluster/objects.ts";
import { type MeshConfig, mustStop } from "../dispatcher/assignment.ts";
import type { EndpointPlace, EndpointPort, SaidEndpoint } from "../gossip/endpoint-news.ts";
import type { StartingTask } from "./told-endpoints.ts";

/**
 * Said to be ready for so long, though its managers may know by now: who hears of them later than of this node must
 * not miss it in between.
 */
export const READY_MS = 60_000;

export interface OwnEndpointFacts {
  readonly nodeID: string;
  readonly mesh: MeshConfig;
  /** Endpoints, of all nodes, that their managers know to start. */
  readonly starting: ReadonlyMap<string, StartingTask>;
  /** Endpoints that managers tell and whose link is gone. */
  readonly gone: readonly string[];
  readonly tasks: Iterable<{ readonly task: Task; readonly status: TaskStatus }>;
  /** By the clock that dates statuses. */
  readonly now: number;
}

export function ownEndpoints(facts: OwnEndpointFacts): readonly SaidEndpoint[] {
  const { mesh } = facts;
  const self = mesh.nodes.find((node) => node.nodeID === facts.nodeID);
  const isStarting = (taskID: string) =>
    self !== undefined && facts.starting.get(taskID)?.nodeIndex === self.index;
  const gone = new Set(facts.gone);
  const said: SaidEndpoint[] = [];
  for (const { task, status } of facts.tasks) {
    const { id: taskID } = task;
    // Known to run before managers have heard of it: they have not told of a link that could be gone.
    if (isStarting(taskID) && isTerminal(status.state)) gone.add(taskID);
    if (gone.has(taskID) || status.state !== "running") continue;
    const isLately = facts.now - Date.parse(status.timestamp) < READY_MS;
    const places = placesIn(mesh, task);
    if (places.length === 0) continue;
    const at = { places, ports: hostPorts(status), ipv6Ports: status.ipv6Ports ?? [] };
    if (status.unhealthy === true) said.push({ taskID, word: "draining", ...at });
    else if (!mustStop(task.desiredState) && (isStarting(taskID) || isLately)) {
      said.push({ taskID, word: "ready", ...at });
    }
  }
  for (const taskID of gone) {
    said.push({ taskID, word: "gone", places: [], ports: [], ipv6Ports: [] });
  }
  return said;
}

function placesIn(mesh: MeshConfig, task: Task): readonly EndpointPlace[] {
  return task.networksAttachments.flatMap(({ network, addresses }) => {
    const overlay = mesh.networks.find(({ networkID }) => networkID === network.id);
    const vni = network.overlay === true ? overlay?.vni : mesh.network?.vni;
    if (vni === undefined) return [];
    return addresses.map((address) => ({ vni, address: address.split("/")[0] ?? address }));
  });
}

function hostPorts({ portStatus }: TaskStatus): readonly EndpointPort[] {
  return (portStatus?.ports ?? []).flatMap(
    ({ protocol, publishMode, publishedPort, targetPort }): readonly EndpointPort[] =>
      publishMode === "host" && publishedPort !== undefined && protocol !== "sctp"
        ? [{ protocol, publishedPort, targetPort }]
        : [],
  );
}
