/**
 * What of two views makes a difference: both without the services that are the same in either. `desired` of
 * the two narrow views differs exactly where `desired` of the whole ones does, so a plan made from them is
 * the same plan; and computing it costs the services that changed, not all there are.
 */
import { isDeepStrictEqual } from "node:util";
import type { HostFacts } from "./facts.ts";
import { type AnsweredPort, answeredPorts, Ways } from "./mesh.ts";
import { chainOf, KEPT_CHAINS } from "./served-ports.ts";
import { type ServiceChange, ServiceIndex } from "./service-index.ts";
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

/**
 * Both as they are when the nodes, the tunnel or the host's addresses changed: every service may then lead somewhere else.
 * `index` goes on to the services of `after`; a caller that keeps it does not look at those that did not change.
 */
export function narrow(
  before: ViewOnHost,
  after: ViewOnHost,
  index: ServiceIndex = new ServiceIndex(),
): Narrowed {
  if (!isSameHost(before.facts, after.facts) || !isSameMesh(before.view, after.view))
    return { before: before.view, after: after.view };
  const changes = changesBetween(before.view, after.view, index);
  const held = difference(before.view.heldPorts, after.view.heldPorts);
  const changed = new Set(changes.flatMap(({ was, is }) => was?.serviceID ?? is?.serviceID ?? []));
  for (const key of held) for (const id of index.ports.of(key)) changed.add(id);
  for (const address of changedLinks(before, after))
    for (const id of index.addresses.of(address)) changed.add(id);
  const kept = new Set([...changed, ...sharing(changes, changed, index)]);
  for (const witness of witnesses(before, after, kept)) kept.add(witness);
  const services = { before: those(before.view, kept), after: those(after.view, kept) };
  const ports = portsOf(held, [...services.before, ...services.after], [before.view, after.view]);
  return {
    before: only(before.view, services.before, ports),
    after: only(after.view, services.after, ports),
  };
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

/** Services that came, went or are otherwise. */
function changesBetween(
  before: MeshView,
  after: MeshView,
  index: ServiceIndex,
): readonly ServiceChange[] {
  // It may have followed another view meanwhile.
  index.follow(before.services);
  return index
    .follow(after.services)
    .filter(({ was, is }) => was === undefined || is === undefined || !sameService(was, is));
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
  changes: readonly ServiceChange[],
  changed: ReadonlySet<string>,
  index: ServiceIndex,
): Generator<string> {
  const versions = [
    ...changes.map(({ was }) => was),
    ...Array.from(changed, (id) => index.get(id)),
  ];
  for (const service of versions) {
    for (const port of service?.ports ?? []) yield* index.ports.of(keyOf(port));
    for (const { address } of service?.endpoints ?? []) yield* index.addresses.of(address);
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
    if (kept.has(service.serviceID) || service.endpoints.length <= KEPT_CHAINS) continue;
    const names = chainsOfPorts(
      answeredPorts({ ...view, hostPorts: [], services: [service] }, ways),
    );
    const isWitness = names.map((name) => wanted.delete(name)).includes(true);
    if (isWitness) yield service.serviceID;
    if (wanted.size === 0) return;
  }
}

/** Those of them that are not always there. */
function chainsOf({ view, facts }: ViewOnHost, kept: ReadonlySet<string>): Set<string> {
  const services = those(view, kept).filter(({ endpoints }) => endpoints.length > KEPT_CHAINS);
  if (services.length === 0) return new Set();
  return new Set(chainsOfPorts(answeredPorts({ ...view, services }, new Ways(view, facts.links))));
}

function chainsOfPorts(ports: Iterable<AnsweredPort>): string[] {
  return Array.from(ports, ({ port, targets, targets6 }) => [
    chainOf(port.protocol, targets.length),
    ...(targets6.length > 0 ? [chainOf(port.protocol, targets6.length, "ip6")] : []),
  ]).flat();
}

/** Those that came or went, and those of what is left in either view. */
function portsOf(
  held: ReadonlySet<string>,
  services: readonly MeshService[],
  views: readonly MeshView[],
): Set<string> {
  const ports = new Set(held);
  for (const view of views) for (const port of view.hostPorts) ports.add(keyOf(port));
  for (const service of services) for (const port of service.ports) ports.add(keyOf(port));
  return ports;
}

/** In the view's order. */
function those(view: MeshView, kept: ReadonlySet<string>): readonly MeshService[] {
  return kept.size === 0 ? [] : view.services.filter(({ serviceID }) => kept.has(serviceID));
}

/** Host ports and links are this node's own and few: they stay. */
function only(
  view: MeshView,
  services: readonly MeshService[],
  ports: ReadonlySet<string>,
): MeshView {
  const heldPorts = new Set([...ports].filter((key) => view.heldPorts.has(key)));
  return { ...view, services, heldPorts };
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
