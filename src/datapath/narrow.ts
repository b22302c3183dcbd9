/**
 * What of two views makes a difference: both without the services that are the same in either. `desired` of
 * the two narrow views differs exactly where `desired` of the whole ones does, so a plan made from them is
 * the same plan; and computing it costs the services that changed, not all there are.
 */
import { isDeepStrictEqual } from "node:util";
import type { HostFacts } from "./facts.ts";
import { type AnsweredPort, answeredPorts, Ways } from "./mesh.ts";
import { chainOf } from "./served-ports.ts";
import type { MeshEndpoint, MeshPort, MeshService, MeshView } from "./view.ts";
import { portKey } from "./view.ts";

/** A view, and the host that it was or is to be applied to. */
export interface ViewOnHost {
  readonly view: MeshView;
  readonly facts: HostFacts;
}

export interface Narrowed {
  readonly before: MeshView;
  readonly after: MeshView;
}

/** Both as they are when the nodes, the tunnel or the host's addresses changed: every service may then lead somewhere else. */
export function narrow(before: ViewOnHost, after: ViewOnHost): Narrowed {
  if (!isSameHost(before.facts, after.facts) || !isSameMesh(before.view, after.view))
    return { before: before.view, after: after.view };
  const changed = changedServices(before, after);
  const shared = sharing(before.view, after.view, changed);
  const kept = new Set([...changed, ...shared]);
  for (const witness of [...witnesses(before, after, kept)]) kept.add(witness);
  const ports = portsOf(before.view, after.view, kept);
  return { before: only(before.view, kept, ports), after: only(after.view, kept, ports) };
}

function isSameHost(a: HostFacts, b: HostFacts): boolean {
  return (
    a.ipv6 === b.ipv6 &&
    a.filtersPaths6 === b.filtersPaths6 &&
    isDeepStrictEqual(a.interfaces, b.interfaces)
  );
}

/** Whether every endpoint of another node is reached as before, through the very same tunnel. */
function isSameMesh(a: MeshView, b: MeshView): boolean {
  const meshOf = ({ self, peers, subnet, subnet6, vni, dataPathPort }: MeshView) => [
    ...[self, peers, subnet, subnet6, vni, dataPathPort],
  ];
  return isDeepStrictEqual(meshOf(a), meshOf(b));
}

/** Ids of services that came, went or are otherwise, or whose ports or local endpoints are. */
function changedServices(before: ViewOnHost, after: ViewOnHost): Set<string> {
  const changed = new Set<string>();
  const found = new Map(before.view.services.map((service) => [service.serviceID, service]));
  const held = difference(before.view.heldPorts, after.view.heldPorts);
  const links = changedLinks(before, after);
  for (const service of after.view.services) {
    const was = found.get(service.serviceID);
    found.delete(service.serviceID);
    const isSame = was !== undefined && sameService(was, service);
    const hasOther =
      (held.size > 0 && service.ports.some((port) => held.has(keyOf(port)))) ||
      (links.size > 0 && service.endpoints.some(({ address }) => links.has(address)));
    if (!isSame || hasOther) changed.add(service.serviceID);
  }
  for (const gone of found.keys()) changed.add(gone);
  return changed;
}

/** Addresses of local tasks whose link came, went or is another. */
function changedLinks(before: ViewOnHost, after: ViewOnHost): Set<string> {
  const linksOf = ({ view, facts }: ViewOnHost) =>
    new Set(
      view.localLinks
        .filter(({ link }) => facts.links.has(link))
        .map(({ address, address6 = "", link }) => `${address} ${link} ${address6}`),
    );
  const changed = difference(linksOf(before), linksOf(after));
  return new Set([...changed].map((link) => link.slice(0, link.indexOf(" "))));
}

/**
 * Services that are the same but have a port or an address in common with one that is not: where two say
 * something of one thing, it is the last that counts, so both must be heard.
 */
function* sharing(
  before: MeshView,
  after: MeshView,
  changed: ReadonlySet<string>,
): Generator<string> {
  const ports = new Set<string>();
  const addresses = new Set<string>();
  for (const service of [...before.services, ...after.services]) {
    if (!changed.has(service.serviceID)) continue;
    for (const port of service.ports) ports.add(keyOf(port));
    for (const { address } of service.endpoints) addresses.add(address);
  }
  if (changed.size === 0) return;
  for (const service of after.services) {
    const isShared =
      service.ports.some((port) => ports.has(keyOf(port))) ||
      service.endpoints.some(({ address }) => addresses.has(address));
    if (isShared) yield service.serviceID;
  }
}

/** A chain is there for all ports of as many endpoints. Of each that seems to come or go: a service that has it all along. */
function* witnesses(
  before: ViewOnHost,
  after: ViewOnHost,
  kept: ReadonlySet<string>,
): Generator<string> {
  const wanted = difference(chainsOf(before, kept), chainsOf(after, kept));
  if (wanted.size === 0) return;
  const { view, facts } = after;
  const ways = new Ways(view, facts.links);
  for (const service of view.services) {
    if (kept.has(service.serviceID)) continue;
    const names = chainsOfPorts(
      answeredPorts({ ...view, hostPorts: [], services: [service] }, ways),
    );
    const isWitness = names.map((name) => wanted.delete(name)).includes(true);
    if (isWitness) yield service.serviceID;
    if (wanted.size === 0) return;
  }
}

function chainsOf({ view, facts }: ViewOnHost, kept: ReadonlySet<string>): Set<string> {
  const services = view.services.filter(({ serviceID }) => kept.has(serviceID));
  return new Set(chainsOfPorts(answeredPorts({ ...view, services }, new Ways(view, facts.links))));
}

function chainsOfPorts(ports: Iterable<AnsweredPort>): string[] {
  return Array.from(ports, ({ port, targets, targets6 }) => [
    chainOf(port.protocol, targets.length),
    ...(targets6.length > 0 ? [chainOf(port.protocol, targets6.length, "ip6")] : []),
  ]).flat();
}

/** Those that came or went, and those of what is left in either view. */
function portsOf(before: MeshView, after: MeshView, kept: ReadonlySet<string>): Set<string> {
  const ports = difference(before.heldPorts, after.heldPorts);
  for (const view of [before, after]) {
    for (const port of view.hostPorts) ports.add(keyOf(port));
    for (const service of view.services) {
      if (kept.has(service.serviceID)) for (const port of service.ports) ports.add(keyOf(port));
    }
  }
  return ports;
}

/** Host ports and links are this node's own and few: they stay. */
function only(view: MeshView, kept: ReadonlySet<string>, ports: ReadonlySet<string>): MeshView {
  return {
    ...view,
    services: view.services.filter(({ serviceID }) => kept.has(serviceID)),
    heldPorts: new Set([...ports].filter((key) => view.heldPorts.has(key))),
  };
}

function sameService(a: MeshService, b: MeshService): boolean {
  return (
    a === b ||
    (sameAll(a.ports, b.ports, samePort) && sameAll(a.endpoints, b.endpoints, sameEndpoint))
  );
}

function sameAll<T>(a: readonly T[], b: readonly T[], same: (a: T, b: T) => boolean): boolean {
  if (a === b) return true;
  return a.length === b.length && a.every((one, index) => same(one, b[index] as T));
}

function samePort(a: MeshPort, b: MeshPort): boolean {
  return (
    a.publishedPort === b.publishedPort &&
    a.targetPort === b.targetPort &&
    a.protocol === b.protocol &&
    sameLimit(a.allowedSources, b.allowedSources) &&
    sameLimit(a.boundTo, b.boundTo)
  );
}

function sameLimit(a: readonly string[] | undefined, b: readonly string[] | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return sameAll(a, b, (one, other) => one === other);
}

function sameEndpoint(a: MeshEndpoint, b: MeshEndpoint): boolean {
  return (
    a.address === b.address &&
    a.nodeIndex === b.nodeIndex &&
    a.state === b.state &&
    sameLimit(a.ipv6Ports, b.ipv6Ports)
  );
}

/** What is in one of them only. */
function difference(a: ReadonlySet<string>, b: ReadonlySet<string>): Set<string> {
  const found = new Set<string>();
  if (a === b) return found;
  for (const one of a) if (!b.has(one)) found.add(one);
  for (const one of b) if (!a.has(one)) found.add(one);
  return found;
}

function keyOf(port: MeshPort): string {
  return portKey(port.protocol, port.publishedPort);
}
