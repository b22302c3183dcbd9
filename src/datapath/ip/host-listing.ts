/** What `ip` and `bridge` show of a host, in as few processes as can be: starting one is most of what a listing costs. */
import type { JsonObject } from "../json.ts";
import { ROUTE_PROTOCOL } from "../names.ts";
import type { RunTool } from "../run.ts";
import { listing } from "./listing.ts";

export interface HostListing {
  /** All links, each with its addresses. */
  readonly links: readonly JsonObject[];
  /** Weft's routes, of both families. */
  readonly routes: readonly JsonObject[];
  /** All rules, of both families. */
  readonly rules: readonly JsonObject[];
  /** Neighbours that somebody has put there, of both families. */
  readonly neighbours: readonly JsonObject[];
  /** All forwarding entries. */
  readonly fdb: readonly JsonObject[];
}

/** Without a family each but `rule` lists both. */
const LISTINGS = [
  "address show",
  `route show table all proto ${ROUTE_PROTOCOL}`,
  "rule show",
  "neighbour show nud permanent",
];

export async function listHost(run: RunTool): Promise<HostListing> {
  const [listed, rules6, fdb] = await Promise.all([
    listing(run, "ip", ["-details", "-json", "-batch", "-"], `${LISTINGS.join("\n")}\n`),
    listing(run, "ip", ["-6", "-json", "rule", "show"]),
    listing(run, "bridge", ["-json", "fdb", "show"]),
  ]);
  // Each object shows which listing it is of.
  const isLink = (object: JsonObject) => object["ifindex"] !== undefined;
  const isRule = (object: JsonObject) => object["priority"] !== undefined;
  const isNeighbour = (object: JsonObject) => Array.isArray(object["state"]);
  return {
    links: listed.filter(isLink),
    rules: [...listed.filter(isRule), ...rules6],
    neighbours: listed.filter(isNeighbour),
    routes: listed.filter((one) => !isLink(one) && !isRule(one) && !isNeighbour(one)),
    fdb,
  };
}
