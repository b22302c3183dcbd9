/**
 * The addresses of one subnet. They are handed out round robin, so that an address that was given back
 * is the last to be given again: what connection tracking still remembers of it meets no stranger.
 */
import { addressNumber, formatAddress, parseCidr, sizeOf } from "../cluster/cidr.ts";
import type { IPAMConfig } from "../cluster/objects.ts";

export interface AddressRange {
  readonly first: number;
  readonly last: number;
  readonly prefixLength: number;
  /** The subnet's, whichever part of it is handed out. */
  readonly lowest: number;
  readonly highest: number;
  readonly gateway: number;
}

/** The addresses that a subnet has to give: all of it (or of its range) but network, broadcast and gateway. */
export function addressRange(config: IPAMConfig): AddressRange {
  const subnet = parseCidr(config.subnet);
  const range = config.ipRange === undefined ? subnet : parseCidr(config.ipRange);
  const [lowest, highest] = [subnet.base + 1, subnet.base + sizeOf(subnet) - 2];
  return {
    first: Math.max(range.base, lowest),
    last: Math.min(range.base + sizeOf(range) - 1, highest),
    lowest,
    highest,
    prefixLength: subnet.prefixLength,
    gateway: config.gateway === undefined ? subnet.base + 1 : addressNumber(config.gateway),
  };
}

/** One pass's view of a subnet: what is held, and where the next search begins. */
export class AddressPool {
  readonly #range: AddressRange;
  readonly #held: Set<number>;
  #cursor: number;

  /** `cursor` is where the last pass stopped; without one the search begins above all that is held. */
  constructor(range: AddressRange, held: readonly string[], cursor: number | undefined) {
    const numbers = held.map(addressNumber);
    this.#range = range;
    this.#held = new Set([range.gateway, ...numbers]);
    this.#cursor = cursor ?? numbers.reduce((a, b) => Math.max(a, b), 0);
  }

  get cursor(): number {
    return this.#cursor;
  }

  /** The next free address, without prefix length; undefined when all are held. */
  take(): string | undefined {
    const { first, last } = this.#range;
    const size = last - first + 1;
    const start = this.#cursor >= first && this.#cursor < last ? this.#cursor + 1 : first;
    for (let i = 0; i < size; i++) {
      const candidate = first + ((start - first + i) % size);
      if (this.#held.has(candidate)) continue;
      this.#held.add(candidate);
      this.#cursor = candidate;
      return formatAddress(candidate);
    }
    return undefined;
  }

  /** Whether this address was free: of the whole subnet, also where only a range of it is handed out. */
  claim(address: string): boolean {
    const number = addressNumber(address);
    const { lowest, highest } = this.#range;
    if (number < lowest || number > highest || this.#held.has(number)) return false;
    this.#held.add(number);
    return true;
  }

  withPrefixLength(address: string): string {
    return `${address}/${this.#range.prefixLength}`;
  }
}
