/**
 * Which services of a view have a port, an address or an interface's name in them. It follows the view from one change
 * to the next, so that to ask it costs what changed and not all services there are.
 */
import { interfacesNamed } from "./publish-places.ts";
import { type MeshService, portKey } from "./view.ts";

/** A service that is not the very same object in both views; without `was` it came, without `is` it went. */
export interface ServiceChange {
  readonly was?: MeshService;
  readonly is?: MeshService;
}

export class ServiceIndex {
  /** Services by their ports' keys, as "tcp/8080". */
  readonly ports = new Owners();
  /** Services by their endpoints' addresses. */
  readonly addresses = new Owners();
  /** Services by the interfaces that their ports are answered at. */
  readonly interfaces = new Owners();
  readonly #byID = new Map<string, MeshService>();
  #services: readonly MeshService[] = [];

  get(serviceID: string): MeshService | undefined {
    return this.#byID.get(serviceID);
  }

  /** Goes on to these services, and says how they differ from those before. */
  follow(services: readonly MeshService[]): readonly ServiceChange[] {
    const changes = changesBetween(this.#services, services);
    for (const { was } of changes) if (was !== undefined) this.#forget(was);
    for (const { is } of changes) if (is !== undefined) this.#note(is);
    this.#services = services;
    return changes;
  }

  #note(service: MeshService): void {
    const { serviceID, ports, endpoints } = service;
    this.#byID.set(serviceID, service);
    for (const key of portKeysOf(ports)) this.ports.add(key, serviceID);
    for (const { address } of endpoints) this.addresses.add(address, serviceID);
    for (const name of interfacesNamed(ports)) this.interfaces.add(name, serviceID);
  }

  #forget({ serviceID, ports, endpoints }: MeshService): void {
    this.#byID.delete(serviceID);
    for (const key of portKeysOf(ports)) this.ports.remove(key, serviceID);
    for (const { address } of endpoints) this.addresses.remove(address, serviceID);
    for (const name of interfacesNamed(ports)) this.interfaces.remove(name, serviceID);
  }
}

/** Who has a key: mostly one alone, which then needs no list. */
class Owners {
  readonly #owners = new Map<string, string | ReadonlySet<string>>();

  keys(): Iterable<string> {
    return this.#owners.keys();
  }

  of(key: string): Iterable<string> {
    const owners = this.#owners.get(key);
    return typeof owners === "string" ? [owners] : (owners ?? []);
  }

  add(key: string, owner: string): void {
    const owners = this.#owners.get(key);
    this.#owners.set(key, owners === undefined ? owner : new Set([...this.of(key), owner]));
  }

  remove(key: string, owner: string): void {
    const others = new Set(this.of(key));
    others.delete(owner);
    if (others.size === 0) this.#owners.delete(key);
    else this.#owners.set(key, others);
  }
}

function portKeysOf(ports: MeshService["ports"]): readonly string[] {
  return ports.map(({ protocol, publishedPort }) => portKey(protocol, publishedPort));
}

/** What is the same before and behind the first and last difference is passed over at a comparison each. */
function changesBetween(
  before: readonly MeshService[],
  after: readonly MeshService[],
): readonly ServiceChange[] {
  const shorter = Math.min(before.length, after.length);
  let start = 0;
  while (start < shorter && before[start] === after[start]) start += 1;
  let end = 0;
  while (end < shorter - start && before.at(-1 - end) === after.at(-1 - end)) end += 1;
  const left = before.slice(start, before.length - end);
  const found = new Map(left.map((service) => [service.serviceID, service]));
  const changes: ServiceChange[] = [];
  for (const is of after.slice(start, after.length - end)) {
    const was = found.get(is.serviceID);
    found.delete(is.serviceID);
    if (was !== is) changes.push(was === undefined ? { is } : { was, is });
  }
  for (const was of found.values()) changes.push({ was });
  return changes;
}
