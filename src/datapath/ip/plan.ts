/**
 * What turns one network state into another, in two halves: what must be there before the rules send
 * packets that way, and what may go only once no rule does.
 */
import type { NetworkCommand } from "./command.ts";
import type { NetworkState, RoutingRule, TaskLink, VxlanLink } from "./state.ts";
import { EMPTY_NETWORK } from "./state.ts";

export interface NetworkPlan {
  readonly additions: readonly NetworkCommand[];
  readonly removals: readonly NetworkCommand[];
}

export function planNetwork(actual: NetworkState, desired: NetworkState): NetworkPlan {
  const remade = [...desired.links].filter(([name, link]) =>
    mustRemake(actual.links.get(name), link),
  );
  // A link takes its addresses, routes, neighbours and entries with it.
  const rest =
    remade.length === 0 ? actual : withoutLinks(actual, new Set(remade.map(([name]) => name)));
  const links = planLinks(actual, desired);
  const additions = [
    ...remade.map(([name]): NetworkCommand => ({ kind: "link.delete", name })),
    ...links.additions,
    ...sysctls(rest, desired),
    ...ups(rest, desired),
    ...readyTaskLinks(rest, desired),
    ...addAddresses(rest, desired),
    ...addNeighbours(rest, desired),
    ...addEntries(rest, desired),
    ...addRoutes(rest, desired),
    ...addRules(rest, desired),
  ];
  const removals = [
    ...removeRules(rest, desired),
    ...removeRoutes(rest, desired),
    ...removeNeighbours(rest, desired),
    ...removeEntries(rest, desired),
    ...removeAddresses(rest, desired),
    ...links.removals,
  ];
  return { additions, removals };
}

function mustRemake(actual: VxlanLink | undefined, desired: VxlanLink): boolean {
  if (actual === undefined) return false;
  return (
    actual.vni !== desired.vni ||
    actual.port !== desired.port ||
    actual.learning !== desired.learning
  );
}

function withoutLinks(state: NetworkState, names: ReadonlySet<string>): NetworkState {
  const kept = <T>(entries: ReadonlyMap<string, T>, deviceOf: (key: string, value: T) => string) =>
    new Map([...entries].filter(([key, value]) => !names.has(deviceOf(key, value))));
  return {
    links: kept(state.links, (name) => name),
    taskLinks: state.taskLinks,
    addresses: kept(state.addresses, (key) => key.split(" ")[0] ?? ""),
    routes: kept(state.routes, (_, route) => route.device),
    rules: state.rules,
    neighbours: EMPTY_NETWORK.neighbours,
    fdb: EMPTY_NETWORK.fdb,
    sysctls: kept(state.sysctls, (path) => path.split("/").at(-2) ?? ""),
  };
}

function planLinks(actual: NetworkState, desired: NetworkState): NetworkPlan {
  const additions: NetworkCommand[] = [];
  const removals: NetworkCommand[] = [];
  for (const [name, link] of desired.links) {
    const from = actual.links.get(name);
    if (from === undefined || mustRemake(from, link))
      additions.push({ kind: "link.add", name, link });
    else if (from.mac !== link.mac || from.mtu !== link.mtu || from.local !== link.local) {
      additions.push({ kind: "link.set", name, link, from });
    }
  }
  for (const name of actual.links.keys()) {
    if (!desired.links.has(name)) removals.push({ kind: "link.delete", name });
  }
  return { additions, removals };
}

function ups(actual: NetworkState, desired: NetworkState): NetworkCommand[] {
  return [...desired.links]
    .filter(([name, link]) => link.up && actual.links.get(name)?.up !== true)
    .map(([name]) => ({ kind: "link.up", name }));
}

/** Put right, never taken back: the links are the keeper's. */
function readyTaskLinks(actual: NetworkState, desired: NetworkState): NetworkCommand[] {
  return [...desired.taskLinks].flatMap(([name, link]): NetworkCommand[] => {
    const from = actual.taskLinks.get(name);
    if (from !== undefined && isReady(from, link)) return [];
    return [{ kind: "task-link.ready", name, link, ...(from === undefined ? {} : { from }) }];
  });
}

function isReady({ up, gateway, gateway6 }: TaskLink, wanted: TaskLink): boolean {
  return up && gateway && (gateway6 || !wanted.gateway6);
}

/** Settings are put right, never taken back: nobody knows what they would have been. */
function sysctls(actual: NetworkState, desired: NetworkState): NetworkCommand[] {
  return differing(desired.sysctls, actual.sysctls).map(([path, value]) => {
    const from = actual.sysctls.get(path);
    return { kind: "sysctl.set", path, value, ...(from === undefined ? {} : { from }) };
  });
}

function addAddresses(actual: NetworkState, desired: NetworkState): NetworkCommand[] {
  return differing(desired.addresses, actual.addresses).map(([key]) => ({
    kind: "address.add",
    key,
  }));
}

function removeAddresses(actual: NetworkState, desired: NetworkState): NetworkCommand[] {
  return missing(actual.addresses, desired.addresses).map(([key]) => ({
    kind: "address.delete",
    key,
  }));
}

function addNeighbours(actual: NetworkState, desired: NetworkState): NetworkCommand[] {
  return differing(desired.neighbours, actual.neighbours).map(([address, mac]) => ({
    kind: "neighbour.replace",
    address,
    mac,
  }));
}

function removeNeighbours(actual: NetworkState, desired: NetworkState): NetworkCommand[] {
  return missing(actual.neighbours, desired.neighbours).map(([address]) => ({
    kind: "neighbour.delete",
    address,
  }));
}

function addEntries(actual: NetworkState, desired: NetworkState): NetworkCommand[] {
  return differing(desired.fdb, actual.fdb).map(([mac, to]) => ({ kind: "fdb.replace", mac, to }));
}

function removeEntries(actual: NetworkState, desired: NetworkState): NetworkCommand[] {
  return missing(actual.fdb, desired.fdb).map(([mac, to]) => ({ kind: "fdb.delete", mac, to }));
}

function addRoutes(actual: NetworkState, desired: NetworkState): NetworkCommand[] {
  const commands: NetworkCommand[] = [];
  for (const [key, route] of desired.routes) {
    const from = actual.routes.get(key);
    if (from?.device === route.device && from.via === route.via) continue;
    commands.push({ kind: "route.replace", route, ...(from === undefined ? {} : { from }) });
  }
  return commands;
}

function removeRoutes(actual: NetworkState, desired: NetworkState): NetworkCommand[] {
  return missing(actual.routes, desired.routes).map(([, route]) => ({
    kind: "route.delete",
    route,
  }));
}

function addRules(actual: NetworkState, desired: NetworkState): NetworkCommand[] {
  return [...desired.rules].flatMap(([key, rule]): NetworkCommand[] => {
    const from = actual.rules.get(key);
    if (from !== undefined && sameRule(from, rule)) return [];
    const add = { kind: "rule.add", rule } as const;
    return from === undefined ? [add] : [{ kind: "rule.delete", rule: from }, add];
  });
}

function removeRules(actual: NetworkState, desired: NetworkState): NetworkCommand[] {
  return missing(actual.rules, desired.rules).map(([, rule]) => ({ kind: "rule.delete", rule }));
}

function sameRule(a: RoutingRule, b: RoutingRule): boolean {
  return a.from === b.from && a.mark === b.mark && a.mask === b.mask && a.table === b.table;
}

/** Entries of `wanted` that `found` lacks or has otherwise. Written as a loop: there may be 30,000 endpoints. */
function differing<T>(
  wanted: ReadonlyMap<string, T>,
  found: ReadonlyMap<string, T>,
): [string, T][] {
  const entries: [string, T][] = [];
  for (const [key, value] of wanted) if (found.get(key) !== value) entries.push([key, value]);
  return entries;
}

function missing<T>(found: ReadonlyMap<string, T>, wanted: ReadonlyMap<string, T>): [string, T][] {
  const entries: [string, T][] = [];
  for (const [key, value] of found) if (!wanted.has(key)) entries.push([key, value]);
  return entries;
}
