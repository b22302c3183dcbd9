/** Sums of what flows have carried, from those that have ended and those that are there: counters that only grow. Pure. */
import type { FlowCount } from "./flow-counts.ts";

export interface FlowTotals {
  /** Flows that were answered. */
  readonly connections: number;
  readonly receivedPackets: number;
  readonly receivedBytes: number;
  readonly sentPackets: number;
  readonly sentBytes: number;
}

/** So many ports of endpoints are kept in mind; flows of others than those are not counted. */
const KEYS_MAX = 100_000;

const NOTHING: FlowTotals = {
  connections: 0,
  receivedPackets: 0,
  receivedBytes: 0,
  sentPackets: 0,
  sentBytes: 0,
};

export class FlowLedger {
  readonly #ended = new Map<string, FlowTotals>();
  /** What was there when counting began. */
  readonly #before = new Map<string, FlowTotals>();
  readonly #told = new Map<string, FlowTotals>();

  /** What these flows have carried until now is not counted. */
  begin(live: Iterable<FlowCount>): void {
    for (const count of live) add(this.#before, count);
  }

  end(count: FlowCount): void {
    if (this.#ended.size < KEYS_MAX || this.#ended.has(count.key)) add(this.#ended, count);
  }

  /** By key, with those that are there now. Never less than was told: a flow that has just ended may be in neither. */
  totals(live: Iterable<FlowCount>): ReadonlyMap<string, FlowTotals> {
    const sums = new Map(this.#ended);
    for (const count of live) add(sums, count);
    for (const [key, sum] of sums) {
      const before = this.#before.get(key) ?? NOTHING;
      const told = this.#told.get(key) ?? NOTHING;
      this.#told.set(
        key,
        combined((field) => Math.max(told[field], sum[field] - before[field])),
      );
    }
    return this.#told;
  }

  /** Endpoints that are gone: who has such an address next begins at 0. */
  forget(addresses: readonly string[]): void {
    if (addresses.length === 0) return;
    const gone = new Set(addresses);
    for (const sums of [this.#ended, this.#before, this.#told]) {
      for (const key of sums.keys()) {
        if (gone.has(key.slice(key.lastIndexOf(" ") + 1))) sums.delete(key);
      }
    }
  }
}

function add(sums: Map<string, FlowTotals>, { key, isAnswered, ...carried }: FlowCount): void {
  const count: FlowTotals = { connections: isAnswered ? 1 : 0, ...carried };
  const sum = sums.get(key);
  sums.set(key, sum === undefined ? count : combined((field) => sum[field] + count[field]));
}

function combined(value: (field: keyof FlowTotals) => number): FlowTotals {
  return {
    connections: value("connections"),
    receivedPackets: value("receivedPackets"),
    receivedBytes: value("receivedBytes"),
    sentPackets: value("sentPackets"),
    sentBytes: value("sentBytes"),
  };
}
