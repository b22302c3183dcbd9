/**
 * The one table of what is whose. `weft`: answered from the cluster's state. `merged`: the local Engine's
 * answer with the cluster's part in it. What is not in here passes to the Engine byte for byte. The table in
 * docs/ is made from this one.
 */

import { connectNetwork, disconnectNetwork, postContainer } from "./attach.ts";
import type { Handler } from "./call.ts";
import { inspectContainer, listContainers } from "./containers.ts";
import { streamEvents } from "./events.ts";
import { inspectGossip, postGossipKeyRotate } from "./gossip.ts";
import { getInfo, getMembership } from "./info.ts";
import { serviceLogs, taskLogs } from "./logs.ts";
import { inspectMesh } from "./mesh.ts";
import { getMetrics } from "./metrics.ts";
import {
  deleteNetwork,
  inspectNetwork,
  listNetworks,
  postNetwork,
  pruneNetworks,
} from "./networks.ts";
import { deleteNode, inspectNode, listNodes, postNodeUpdate } from "./nodes.ts";
import {
  deletePayload,
  inspectPayload,
  listPayloads,
  postPayload,
  postPayloadUpdate,
} from "./payloads.ts";
import { ping } from "./ping.ts";
import {
  deleteService,
  inspectService,
  listServices,
  postService,
  postServiceUpdate,
} from "./services.ts";
import {
  getUnlockKey,
  inspectSwarm,
  postSwarmInit,
  postSwarmJoin,
  postSwarmLeave,
  postSwarmUnlock,
  postSwarmUpdate,
} from "./swarm.ts";
import { inspectTask, listTasks } from "./tasks.ts";
import { tracePacket } from "./trace.ts";

export interface ApiRoute {
  readonly method: "GET" | "HEAD" | "POST" | "DELETE";
  /** Without version; `:name` is a variable. */
  readonly path: string;
  readonly owner: "weft" | "merged";
  /** One line for the documentation. */
  readonly does: string;
  readonly handle: Handler;
}

export const API_ROUTES: readonly ApiRoute[] = [
  merged(
    "GET",
    "/_ping",
    ping,
    "the Engine's answer; its `Swarm` header says this node's part in the cluster",
  ),
  merged("HEAD", "/_ping", ping, "as GET"),
  merged("GET", "/info", getInfo, "the Engine's answer with Weft's `Swarm` section"),
  merged(
    "GET",
    "/events",
    streamEvents,
    "the Engine's stream with the cluster's events between its lines",
  ),
  merged(
    "GET",
    "/networks",
    listNetworks,
    "the cluster's networks and the Engine's own; those of driver `weft` behind the cluster's are hidden",
  ),
  merged("GET", "/networks/:id", inspectNetwork, "a network of the cluster, else the Engine's"),
  merged(
    "DELETE",
    "/networks/:id",
    deleteNetwork,
    "removes a network of the cluster that nobody uses, else the Engine's",
  ),
  merged(
    "POST",
    "/networks/create",
    postNetwork,
    "an overlay network is the cluster's, any other the Engine's",
  ),
  merged(
    "POST",
    "/networks/prune",
    pruneNetworks,
    "the Engine's, and those of the cluster that nobody uses",
  ),
  merged(
    "POST",
    "/networks/:id/connect",
    connectNetwork,
    "the Engine's; in a network of the cluster with an address that the managers give",
  ),
  merged(
    "POST",
    "/networks/:id/disconnect",
    disconnectNetwork,
    "the Engine's; from a network of the cluster by whichever name the user knows it",
  ),
  merged(
    "POST",
    "/containers/create",
    postContainer,
    "the Engine's; in a network of the cluster with an address that the managers give",
  ),
  merged(
    "GET",
    "/containers/json",
    listContainers,
    "the Engine's; networks of the cluster have their own ids, in filters too",
  ),
  merged(
    "GET",
    "/containers/:id/json",
    inspectContainer,
    "the Engine's; networks of the cluster have their own ids",
  ),
  weft("GET", "/swarm", inspectSwarm, "the cluster, with its join tokens"),
  weft("POST", "/swarm/init", postSwarmInit, "makes a cluster with this node as its manager"),
  weft("POST", "/swarm/join", postSwarmJoin, "joins a cluster by token"),
  weft("POST", "/swarm/leave", postSwarmLeave, "leaves it"),
  weft(
    "POST",
    "/swarm/update",
    postSwarmUpdate,
    "changes the cluster's settings, rotates join tokens and the root certificate",
  ),
  weft("GET", "/swarm/unlockkey", getUnlockKey, "always empty: there is no autolock"),
  weft("POST", "/swarm/unlock", postSwarmUnlock, "refused: there is no autolock"),
  weft("GET", "/nodes", listNodes, "lists the members"),
  weft("GET", "/nodes/:id", inspectNode, "one member"),
  weft("POST", "/nodes/:id/update", postNodeUpdate, "changes labels, name and availability"),
  weft("DELETE", "/nodes/:id", deleteNode, "removes a member that is down, or by force"),
  weft(
    "GET",
    "/services",
    listServices,
    "lists services, with `status=true` how many of their tasks run",
  ),
  weft("POST", "/services/create", postService, "makes a service"),
  weft(
    "GET",
    "/services/:id",
    inspectService,
    "one service, with `insertDefaults=true` all defaults written out",
  ),
  weft("POST", "/services/:id/update", postServiceUpdate, "changes a service, or rolls it back"),
  weft("DELETE", "/services/:id", deleteService, "removes a service"),
  weft("GET", "/services/:id/logs", serviceLogs, "what its tasks say, on whichever nodes"),
  weft("GET", "/tasks", listTasks, "lists tasks"),
  weft("GET", "/tasks/:id", inspectTask, "one task"),
  weft("GET", "/tasks/:id/logs", taskLogs, "what it says"),
  weft(
    "GET",
    "/weft/mesh",
    inspectMesh,
    "the endpoints of each published port, as each node's kernel has them",
  ),
  weft(
    "GET",
    "/weft/trace",
    tracePacket,
    "what the nodes' kernels do with a new connection's first packet, hop by hop",
  ),
  weft("GET", "/metrics", getMetrics, "what this node counts and measures, for Prometheus"),
  weft("GET", "/weft/node", getMembership, "this node's part in the cluster, as in `/info`"),
  weft("GET", "/weft/gossip", inspectGossip, "the members as this node sees them, and its lag"),
  weft(
    "POST",
    "/weft/gossip/rotate-key",
    postGossipKeyRotate,
    "makes a new key for the gossip of all nodes",
  ),
  weft("GET", "/secrets", listPayloads("secret"), "lists secrets, without their data"),
  weft("POST", "/secrets/create", postPayload("secret"), "stores a secret"),
  weft("GET", "/secrets/:id", inspectPayload("secret"), "one secret, without its data"),
  weft("DELETE", "/secrets/:id", deletePayload("secret"), "removes a secret that no service uses"),
  weft("POST", "/secrets/:id/update", postPayloadUpdate("secret"), "changes its labels"),
  weft("GET", "/configs", listPayloads("config"), "lists configs"),
  weft("POST", "/configs/create", postPayload("config"), "stores a config"),
  weft("GET", "/configs/:id", inspectPayload("config"), "one config, with its data"),
  weft("DELETE", "/configs/:id", deletePayload("config"), "removes a config that no service uses"),
  weft("POST", "/configs/:id/update", postPayloadUpdate("config"), "changes its labels"),
];

/** What lies below these is the cluster's alone: the Engine never hears of it, not even of a path that nobody has. */
const CLUSTER_ROOTS = ["/swarm", "/services", "/nodes", "/tasks", "/secrets", "/configs", "/weft"];

/** Whether a path, without its version, belongs to the cluster. */
export function isClusterPath(path: string): boolean {
  const bare = withoutQuery(path);
  return CLUSTER_ROOTS.some((root) => bare === root || bare.startsWith(`${root}/`));
}

/** Whether a path, without its version, is entirely the Engine's, whatever the method. */
export function isPassedThrough(path: string): boolean {
  const bare = withoutQuery(path);
  return !isClusterPath(bare) && !ROUTE_PATTERNS.some((pattern) => pattern.test(bare));
}

const ROUTE_PATTERNS = API_ROUTES.map(
  (route) => new RegExp(`^${route.path.replaceAll(/:[a-z]+/g, "[^/]+")}$`),
);

function withoutQuery(path: string): string {
  return path.split("?", 1)[0] ?? path;
}

function weft(method: ApiRoute["method"], path: string, handle: Handler, does: string): ApiRoute {
  return { method, path, owner: "weft", does, handle };
}

function merged(method: ApiRoute["method"], path: string, handle: Handler, does: string): ApiRoute {
  return { method, path, owner: "merged", does, handle };
}
