/** Reads back what `ip` and `bridge` show of Weft's own, and the facts of the host that the desired state needs. */

import { isOfIPv6 } from "../../base/ip-address.ts";
import type { JsonObject } from "../json.ts";
import { numberOf, objectsOf, stringOf } from "../json.ts";
import { LINK, ROUTE_PROTOCOL, TASK_GATEWAY, TASK_GATEWAY6, TASK_LINK_PREFIX } from "../names.ts";
import type { RunTool } from "../run.ts";
import { type HostListing, listHost } from "./host-listing.ts";
import { isUp, nameOf, vxlanOf } from "./listing.ts";
import type { NetworkState, Route, RoutingRule, TaskLink, VxlanLink } from "./state.ts";
import { routeKey, ruleKey } from "./state.ts";

/** Everything of the network but the settings, which are files. */
export type LinkState = Omit<NetworkState, "sysctls">;

export interface NetworkReading {
  readonly state: LinkState;
  readonly links: ReadonlySet<string>;
  /** The link that holds an address, by address. */
  readonly holders: ReadonlyMap<string, AddressHolder>;
  /** Addresses by the link that has them, of all links but the tasks'. */
  readonly addresses: ReadonlyMap<string, readonly string[]>;
}

export interface AddressHolder {
  readonly link: string;
  readonly mtu: number;
}

export async function readNetwork(run: RunTool): Promise<NetworkReading> {
  return decodeNetwork(await listHost(run));
}

export function decodeNetwork(listing: HostListing): NetworkReading {
  const { links, routes, rules } = listing;
  const tunnel = links.find((link) => stringOf(link, "ifname") === LINK);
  const neighbours = listing.neighbours.filter((one) => stringOf(one, "dev") === LINK);
  const fdb = listing.fdb.filter((entry) => stringOf(entry, "ifname") === LINK);
  const state: LinkState = {
    links: new Map(tunnel === undefined ? [] : [[LINK, decodeLink(tunnel)]]),
    taskLinks: new Map(links.filter(isTaskLink).map((link) => [nameOf(link), taskLink(link)])),
    addresses: new Map(givenAddressesOf(tunnel).map((address) => [`${LINK} ${address}`, true])),
    routes: new Map(routes.map(decodeRoute).map((route) => [routeKey(route), route])),
    rules: new Map(
      rules
        .filter(isOurs)
        .map(decodeRule)
        .map((rule) => [ruleKey(rule), rule]),
    ),
    neighbours: new Map(neighbours.map(decodeNeighbour)),
    fdb: new Map(fdb.filter((entry) => stringOf(entry, "dst") !== undefined).map(decodeEntry)),
  };
  const others = links.filter((link) => !isTaskLink(link));
  return {
    state,
    links: new Set(links.map(nameOf)),
    holders: holdersOf(links),
    addresses: new Map(others.map((link) => [nameOf(link), bareAddressesOf(link)])),
  };
}

function isTaskLink(link: JsonObject): boolean {
  return nameOf(link).startsWith(TASK_LINK_PREFIX);
}

function taskLink(link: JsonObject): TaskLink {
  const addresses = addressesOf(link);
  return {
    up: isUp(link),
    gateway: addresses.includes(`${TASK_GATEWAY}/32`),
    gateway6: addresses.includes(`${TASK_GATEWAY6}/64`),
  };
}

function decodeLink(link: JsonObject): VxlanLink {
  return { ...vxlanOf(link), mac: stringOf(link, "address") ?? "", up: isUp(link) };
}

/** Addresses with their prefix length. */
function addressesOf(link: JsonObject | undefined): string[] {
  const addresses = objectsOf(link?.["addr_info"] ?? [], "a link's addresses");
  return addresses.map((one) => `${stringOf(one, "local")}/${numberOf(one, "prefixlen")}`);
}

function bareAddressesOf(link: JsonObject): string[] {
  return addressesOf(link).map((address) => address.split("/")[0] ?? "");
}

/** Without those that the kernel makes for every link by itself. */
function givenAddressesOf(link: JsonObject | undefined): string[] {
  return addressesOf(link).filter((address) => !address.startsWith("fe80:"));
}

function holdersOf(links: readonly JsonObject[]): Map<string, AddressHolder> {
  return new Map(
    links.flatMap((link) =>
      bareAddressesOf(link).map((address): [string, AddressHolder] => [
        address,
        { link: nameOf(link), mtu: numberOf(link, "mtu") ?? 0 },
      ]),
    ),
  );
}

function decodeRoute(route: JsonObject): Route {
  const via = stringOf(route, "gateway");
  const destination = stringOf(route, "dst") ?? "";
  const isDefault6 = destination === "default" && via?.includes(":") === true;
  return {
    table: stringOf(route, "table") ?? "main",
    destination: isDefault6 ? "::/0" : destination,
    device: stringOf(route, "dev") ?? "",
    ...(via === undefined ? {} : { via }),
  };
}

function isOurs(rule: JsonObject): boolean {
  return stringOf(rule, "protocol") === `${ROUTE_PROTOCOL}`;
}

function decodeRule(rule: JsonObject): RoutingRule {
  return {
    priority: numberOf(rule, "priority") ?? 0,
    from: prefixOf(stringOf(rule, "src") ?? "", numberOf(rule, "srclen")),
    mark: Number(stringOf(rule, "fwmark") ?? 0),
    mask: Number(stringOf(rule, "fwmask") ?? 0xffffffff),
    table: stringOf(rule, "table") ?? "",
  };
}

/** The length is left out where it is the whole address. */
function prefixOf(address: string, length: number | undefined): string {
  return `${address}/${length ?? (isOfIPv6(address) ? 128 : 32)}`;
}

function decodeNeighbour(neighbour: JsonObject): [string, string] {
  return [stringOf(neighbour, "dst") ?? "", stringOf(neighbour, "lladdr") ?? ""];
}

function decodeEntry(entry: JsonObject): [string, string] {
  return [stringOf(entry, "mac") ?? "", stringOf(entry, "dst") ?? ""];
}
