/**
 * What turns one state of the overlay networks' links into another, in two halves: what must be there before names
 * and virtual IPs lead there, and what may go once nothing does. Pure.
 */
import type { OverlayCommand } from "./command.ts";
import type { BridgePort, OverlayState, TunnelLink } from "./state.ts";
import { wordsOf } from "./state.ts";

export interface OverlayPlan {
  readonly additions: readonly OverlayCommand[];
  readonly removals: readonly OverlayCommand[];
}

/** What turns `actual` into `desired`; empty when they agree. */
export function planLinks(actual: OverlayState, desired: OverlayState): OverlayPlan {
  const remade = [...desired.tunnels].flatMap(([name, tunnel]) =>
    mustRemake(actual.tunnels.get(name), tunnel) ? [name] : [],
  );
  const left = remade.length === 0 ? actual : without(actual, new Set(remade));
  const rest = withoutMoved(left, desired);
  return {
    additions: [
      ...remade.map((name): OverlayCommand => ({ kind: "link.delete", name })),
      ...bridges(rest, desired),
      ...tunnels(rest, desired),
      // After the MTU, without which a link may have no IPv6 to set.
      ...sysctls(rest, desired),
      ...ports(rest, desired),
      ...replacements("remote.replace", rest.remotes, desired.remotes),
      ...replacements("neighbour.replace", rest.neighbours, desired.neighbours),
      ...replacements("entry.replace", rest.entries, desired.entries),
    ],
    removals: [...removedEntries(rest, desired), ...removedLinks(rest, desired)],
  };
}

function mustRemake(actual: TunnelLink | undefined, desired: TunnelLink): boolean {
  return (
    actual !== undefined &&
    (actual.vni !== desired.vni ||
      actual.port !== desired.port ||
      actual.learning !== desired.learning ||
      actual.proxy !== desired.proxy)
  );
}

/** A tunnel takes what hangs on it along. */
function without(state: OverlayState, gone: ReadonlySet<string>): OverlayState {
  const kept = <T>(map: ReadonlyMap<string, T>, linkOf: (key: string, value: T) => string) =>
    new Map([...map].filter(([key, value]) => !gone.has(linkOf(key, value))));
  const device = (key: string) => wordsOf(key)[0];
  return {
    ...state,
    tunnels: kept(state.tunnels, (name) => name),
    ports: kept(state.ports, (name) => name),
    entries: kept(state.entries, (_, port) => port),
    remotes: kept(state.remotes, device),
    neighbours: kept(state.neighbours, device),
  };
}

/** A port that comes back to its bridge loses the entries that it has on another one. */
function withoutMoved(state: OverlayState, desired: OverlayState): OverlayState {
  const isMoved = (name: string) => {
    const wanted = desired.ports.get(name)?.bridge;
    return wanted !== undefined && (state.ports.get(name)?.bridge ?? wanted) !== wanted;
  };
  const moved = new Set([...state.ports.keys()].filter(isMoved));
  if (moved.size === 0) return state;
  return { ...state, entries: new Map([...state.entries].filter(([, port]) => !moved.has(port))) };
}

function bridges(actual: OverlayState, desired: OverlayState): OverlayCommand[] {
  return [...desired.bridges.keys()].flatMap((name): OverlayCommand[] => {
    const isUp = actual.bridges.get(name);
    if (isUp === undefined) return [{ kind: "bridge.add", name }];
    return isUp ? [] : [{ kind: "bridge.up", name }];
  });
}

function tunnels(actual: OverlayState, desired: OverlayState): OverlayCommand[] {
  return [...desired.tunnels].flatMap(([name, tunnel]): OverlayCommand[] => {
    const found = actual.tunnels.get(name);
    if (found === undefined) return [{ kind: "tunnel.add", name, tunnel }];
    const isSame = found.mtu === tunnel.mtu && found.local === tunnel.local;
    return isSame ? [] : [{ kind: "tunnel.set", name, tunnel }];
  });
}

/** A bridge that is made anew has lost its ports, whatever they were believed to be. */
function ports(actual: OverlayState, desired: OverlayState): OverlayCommand[] {
  return [...desired.ports].flatMap(([name, port]): OverlayCommand[] => {
    const found = actual.ports.get(name);
    const isSame = found !== undefined && actual.bridges.has(port.bridge) && samePort(found, port);
    return isSame ? [] : [{ kind: "port.set", name, port }];
  });
}

function samePort(a: BridgePort, b: BridgePort): boolean {
  return a.bridge === b.bridge && a.learning === b.learning && a.flood === b.flood && a.up === b.up;
}

function sysctls(actual: OverlayState, desired: OverlayState): OverlayCommand[] {
  return differing(desired.sysctls, actual.sysctls).map(([path, value]) => ({
    kind: "sysctl.set",
    path,
    value,
  }));
}

function replacements(
  kind: "entry.replace" | "remote.replace" | "neighbour.replace",
  actual: ReadonlyMap<string, string>,
  desired: ReadonlyMap<string, string>,
): OverlayCommand[] {
  return differing(desired, actual).map(([key, value]) => ({ kind, key, value }));
}

/**
 * Of links that go, nothing: it goes with them. Nor of a container's link that nobody has told of yet: the keeper has
 * just made it.
 */
function removedEntries(actual: OverlayState, desired: OverlayState): OverlayCommand[] {
  const known = ([, port]: [string, string]) => desired.ports.has(port);
  const deletions = (
    kind: "entry.delete" | "remote.delete" | "neighbour.delete",
    found: ReadonlyMap<string, string>,
    wanted: ReadonlyMap<string, string>,
    links: ReadonlyMap<string, unknown>,
  ) =>
    [...found]
      .filter(([key]) => !wanted.has(key) && links.has(wordsOf(key)[0]))
      .map(([key, value]): OverlayCommand => ({ kind, key, value }));
  return [
    ...deletions(
      "entry.delete",
      new Map([...actual.entries].filter(known)),
      desired.entries,
      desired.bridges,
    ),
    ...deletions("neighbour.delete", actual.neighbours, desired.neighbours, desired.tunnels),
    ...deletions("remote.delete", actual.remotes, desired.remotes, desired.tunnels),
  ];
}

/** A bridge that still has a container is left: its view may be on the way. */
function removedLinks(actual: OverlayState, desired: OverlayState): OverlayCommand[] {
  const inUse = new Set(
    [...actual.ports].filter(([name]) => !actual.tunnels.has(name)).map(([, { bridge }]) => bridge),
  );
  const names = [
    ...[...actual.tunnels.keys()].filter((name) => !desired.tunnels.has(name)),
    ...[...actual.bridges.keys()].filter((name) => !desired.bridges.has(name) && !inUse.has(name)),
  ];
  return names.map((name) => ({ kind: "link.delete", name }));
}

/** Entries of `wanted` that `found` lacks or has otherwise. Written as a loop: there may be 10,000 endpoints. */
function differing(
  wanted: ReadonlyMap<string, string>,
  found: ReadonlyMap<string, string>,
): [string, string][] {
  const entries: [string, string][] = [];
  for (const [key, value] of wanted) if (found.get(key) !== value) entries.push([key, value]);
  return entries;
}
