/**
 * The one table of what is whose. `weft`: answered from the cluster's state. `merged`: the local Engine's
 * answer with the cluster's part in it. What is not in here passes to the Engine byte for byte. The table in
 * docs/ is made from this one.
 */
import type { Handler } from "./call.ts";
import { ping } from "./ping.ts";

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
  {
    method: "GET",
    path: "/_ping",
    owner: "merged",
    does: "the Engine's answer; its Swarm header is this node's state in the cluster",
    handle: ping,
  },
  {
    method: "HEAD",
    path: "/_ping",
    owner: "merged",
    does: "as GET",
    handle: ping,
  },
];

/** What lies below these is the cluster's alone: the Engine never hears of it, not even of a path that nobody has. */
const CLUSTER_ROOTS = ["/swarm", "/services", "/nodes", "/tasks", "/secrets", "/configs"];

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
