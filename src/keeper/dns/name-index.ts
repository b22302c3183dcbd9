/** One set of names, ready to be asked: by name and by address. A change costs what it changes. */
import { BlockList, isIP } from "node:net";
import type { NamedPort, NameEntry, NameGroup, NameSetChange } from "./names.ts";

/** Hosts of hosts are followed so far; what lies deeper is not answered. */
const HOST_DEPTH_MAX = 2;

/** What a name leads to, in the order of its entries. */
export interface Found {
  readonly addresses: readonly string[];
  readonly ports: readonly NamedPort[];
}

/** What a set is, beside its names. */
export type NameSetFrame = Pick<NameSetChange, "suffix" | "subnets" | "listen">;

export class NameIndex {
  readonly frame: NameSetFrame;
  #revision = 0;
  readonly #area = new BlockList();
  readonly #groups = new Map<string, NameGroup>();
  readonly #entries = new Map<string, readonly NameEntry[]>();
  readonly #reverse = new Map<string, readonly string[]>();

  constructor({ suffix, subnets, listen }: NameSetFrame) {
    this.frame = { suffix, subnets, ...(listen === undefined ? {} : { listen }) };
    for (const subnet of subnets) {
      const [network = "", length] = subnet.split("/");
      this.#area.addSubnet(network, Number(length), familyOf(network));
    }
  }

  get suffix(): string {
    return this.frame.suffix;
  }

  /** Another one after each change. */
  get revision(): number {
    return this.#revision;
  }

  get groups(): readonly NameGroup[] {
    return [...this.#groups.values()];
  }

  change({ put, remove }: Pick<NameSetChange, "put" | "remove">): void {
    this.#revision += 1;
    for (const id of remove) this.#remove(id);
    for (const group of put) {
      this.#remove(group.id);
      this.#groups.set(group.id, group);
      for (const entry of group.entries) this.#add(entry);
    }
  }

  /** Undefined for a name that nobody has. Several that have one name share it. */
  find(name: string): Found | undefined {
    const entries = this.#entries.get(name);
    if (entries === undefined) return undefined;
    const ports = entries.flatMap((entry) => entry.ports ?? []);
    return {
      addresses: this.#addressesOf(entries, HOST_DEPTH_MAX),
      ports: ports.length === 0 ? ports : ports.flatMap((port) => this.#spread(port)),
    };
  }

  /** Each that has this name, by the name of its own, at a port that the asker knows: in a network all ports are led. */
  findAt(name: string, port: number): Found | undefined {
    const entries = this.#entries.get(name);
    if (entries === undefined) return undefined;
    const addresses = this.#addressesOf(entries, HOST_DEPTH_MAX);
    const hosts = new Set(addresses.map((address) => this.#reverse.get(address)?.[0] ?? name));
    return { addresses: [], ports: [...hosts].map((host) => ({ host, port })) };
  }

  /** Names of this address, without suffix; undefined when it lies outside of this set's networks. */
  findAddress(address: string): readonly string[] | undefined {
    const names = this.#reverse.get(address);
    if (names !== undefined) return names;
    return this.#area.check(address, familyOf(address)) ? [] : undefined;
  }

  #addressesOf(entries: readonly NameEntry[], depth: number): readonly string[] {
    const [only] = entries;
    if (entries.length === 1 && only?.hosts === undefined) return only?.addresses ?? [];
    const found = new Set<string>();
    for (const { addresses = [], hosts = [] } of entries) {
      for (const address of addresses) found.add(address);
      if (depth === 0) continue;
      for (const host of hosts) {
        const ofHost = this.#addressesOf(this.#entries.get(host) ?? [], depth - 1);
        for (const address of ofHost) found.add(address);
      }
    }
    return [...found];
  }

  /** A port at a list of hosts is one at each of them. */
  #spread({ host, port }: NamedPort): readonly NamedPort[] {
    const hosts = (this.#entries.get(host) ?? []).flatMap((entry) => entry.hosts ?? []);
    return hosts.length === 0 ? [{ host, port }] : hosts.map((one) => ({ host: one, port }));
  }

  #add(entry: NameEntry): void {
    for (const name of entry.names) {
      this.#entries.set(name, [...(this.#entries.get(name) ?? []), entry]);
    }
    const { reverse, addresses = [] } = entry;
    if (reverse === undefined) return;
    for (const address of addresses) {
      this.#reverse.set(address, [...(this.#reverse.get(address) ?? []), reverse]);
    }
  }

  #remove(id: string): void {
    const group = this.#groups.get(id);
    if (group === undefined) return;
    this.#groups.delete(id);
    for (const entry of group.entries) {
      for (const name of entry.names) without(this.#entries, name, entry);
      const { reverse, addresses = [] } = entry;
      if (reverse === undefined) continue;
      for (const address of addresses) without(this.#reverse, address, reverse);
    }
  }
}

/** Takes one occurrence of the value from the list at the key. */
function without<T>(lists: Map<string, readonly T[]>, key: string, value: T): void {
  const list = lists.get(key) ?? [];
  const at = list.indexOf(value);
  const rest = at < 0 ? list : list.toSpliced(at, 1);
  if (rest.length === 0) lists.delete(key);
  else lists.set(key, rest);
}

function familyOf(address: string): "ipv4" | "ipv6" {
  return isIP(address) === 6 ? "ipv6" : "ipv4";
}
