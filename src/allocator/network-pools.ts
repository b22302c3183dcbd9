/** What is free in each network of the cluster during one pass: an address in each of its subnets at a time. */
import { byFamily, isOfIPv6 } from "../base/ip-address.ts";
import { addressNumber, parseCidr, sizeOf } from "../cluster/cidr.ts";
import { ipv6At } from "../cluster/cidr6.ts";
import type { Network } from "../cluster/objects.ts";
import type { Snapshot } from "../cluster/store.ts";
import { isOver } from "../cluster/task-lifecycle.ts";
import { AddressPool, addressRange } from "./address-pool.ts";

/** Where the search of each network's first subnets goes on, by CIDR. */
export type NetworkCursor = Readonly<Record<string, number>>;
export type NetworkCursors = Readonly<Record<string, NetworkCursor>>;

/** One network's free addresses. */
export class NetworkPool {
  readonly network: Network;
  readonly #pools: readonly { readonly subnet: string; readonly pool: AddressPool }[];
  readonly #subnets6: readonly string[];

  constructor(network: Network, held: readonly string[], cursor: NetworkCursor = {}) {
    this.network = network;
    const { config } = network.ipam;
    const { ipv4, ipv6 } = byFamily(config, ({ subnet }) => subnet);
    this.#subnets6 = ipv6.map(({ subnet }) => subnet);
    this.#pools = ipv4.map((each) => ({
      subnet: each.subnet,
      pool: new AddressPool(addressRange(each), heldIn(each.subnet, held), cursor[each.subnet]),
    }));
  }

  get cursor(): NetworkCursor {
    return Object.fromEntries(this.#pools.map(({ subnet, pool }) => [subnet, pool.cursor]));
  }

  /** With prefix lengths, IPv4 first; undefined when every subnet is given away. */
  take(): readonly string[] | undefined {
    for (const { subnet, pool } of this.#pools) {
      const address = pool.take();
      if (address !== undefined) return this.#withIPv6(subnet, pool.withPrefixLength(address));
    }
    return undefined;
  }

  /** Whether an address is of one of its subnets. */
  holds(address: string): boolean {
    return this.#pools.some(({ subnet }) => heldIn(subnet, [address]).length > 0);
  }

  /** Exactly this IPv4 address; undefined when somebody has it, or no subnet holds it. */
  takeThis(address: string): readonly string[] | undefined {
    for (const { subnet, pool } of this.#pools) {
      if (pool.claim(address)) return this.#withIPv6(subnet, pool.withPrefixLength(address));
    }
    return undefined;
  }

  /** The IPv6 address stands as far in its subnet as the IPv4 one in its own, so that it is as unique. */
  #withIPv6(subnet: string, address: string): readonly string[] {
    const offset = addressNumber(address) - parseCidr(subnet).base;
    const length = (cidr: string) => cidr.split("/")[1] ?? "";
    return [address, ...this.#subnets6.map((cidr) => `${ipv6At(cidr, offset)}/${length(cidr)}`)];
  }

  /** The reason of whoever is refused an address, with the cure. */
  get exhausted(): string {
    const { spec, ipam } = this.network;
    const subnets = ipam.config.map(({ subnet }) => subnet).join(", ");
    return `no address is free in network ${spec.name} (${subnets}): remove services or tasks, or make the network again with a larger subnet`;
  }
}

/** The pools of all networks that somebody asks for in this pass; made when first asked for. */
export class NetworkPools {
  readonly #snapshot: Snapshot;
  readonly #before: NetworkCursors;
  readonly #pools = new Map<string, NetworkPool>();
  #held: ReadonlyMap<string, readonly string[]> | undefined;

  constructor(snapshot: Snapshot, cursors: NetworkCursors) {
    this.#snapshot = snapshot;
    this.#before = cursors;
  }

  of(network: Network): NetworkPool {
    const known = this.#pools.get(network.id);
    if (known !== undefined) return known;
    this.#held ??= heldAddresses(this.#snapshot);
    const held = this.#held.get(network.id) ?? [];
    const pool = new NetworkPool(network, held, this.#before[network.id]);
    this.#pools.set(network.id, pool);
    return pool;
  }

  /** Of networks that are there. */
  get cursors(): NetworkCursors {
    const cursors: Record<string, NetworkCursor> = {};
    for (const { id } of this.#snapshot.list("network")) {
      const cursor = this.#pools.get(id)?.cursor ?? this.#before[id];
      if (cursor !== undefined) cursors[id] = cursor;
    }
    return cursors;
  }
}

/** Every address that somebody still has, by network: nodes, services, tasks whose container may still be there, and containers of users. */
function heldAddresses(snapshot: Snapshot): ReadonlyMap<string, readonly string[]> {
  const held = new Map<string, string[]>();
  const hold = (networkID: string, ...addresses: readonly string[]) => {
    const known = held.get(networkID);
    if (known === undefined) held.set(networkID, [...addresses]);
    else known.push(...addresses);
  };
  const ingress = snapshot.list("network").find(({ spec }) => spec.ingress);
  for (const { ingressAddress } of snapshot.list("node")) {
    if (ingress !== undefined && ingressAddress !== undefined) hold(ingress.id, ingressAddress);
  }
  for (const { endpoint } of snapshot.list("service")) {
    for (const { networkID, addr } of endpoint?.virtualIPs ?? []) hold(networkID, addr);
  }
  for (const task of snapshot.list("task")) {
    if (isOver(task)) continue;
    for (const { network, addresses } of task.networksAttachments) hold(network.id, ...addresses);
  }
  for (const { networkID, addresses } of snapshot.list("attachment")) {
    hold(networkID, ...addresses);
  }
  return held;
}

function heldIn(subnet: string, held: readonly string[]): readonly string[] {
  const { base, ...rest } = parseCidr(subnet);
  const end = base + sizeOf({ base, ...rest });
  return held.filter((address) => {
    if (isOfIPv6(address)) return false;
    const number = addressNumber(address);
    return number >= base && number < end;
  });
}
