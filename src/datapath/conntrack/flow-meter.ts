/**
 * Counts what published ports and their endpoints have carried, from conntrack's own counters. Nothing of it is in a
 * packet's way: the kernel adds to two numbers of a flow that it has in hand, and tells of each flow once, when it ends.
 */
import type { Clock, Timer } from "../../base/clock.ts";
import { FlowLedger, type FlowTotals } from "./flow-ledger.ts";
import type { FlowSource } from "./flow-source.ts";

/** Ends of flows are read so often. */
const READ_MS = 1_000;
/** While there are more than one look reads, looks follow each other as soon as others have had their turn. */
const READ_ON_MS = 10;
/** Some milliseconds' work. */
const READ_MAX = 1_000;
/** All that there is room for; what has ended since waits for the next look. */
const READS_MAX = 10;

export class FlowMeter {
  readonly #source: FlowSource;
  readonly #clock: Clock;
  readonly #ledger = new FlowLedger();
  #timer: Timer | undefined;
  #losses = 0;
  #listing: Promise<unknown> = Promise.resolve();
  #stopped = false;

  constructor(source: FlowSource, clock: Clock) {
    this.#source = source;
    this.#clock = clock;
  }

  /** How often the kernel had more to tell than there was room for. */
  get losses(): number {
    return this.#losses;
  }

  /** What flows have carried before this is not counted. */
  async start(): Promise<void> {
    this.#ledger.begin(await this.#source.list());
    this.#look();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#listing.catch(() => {});
    this.#source.close();
  }

  /** By `flowKey`. One list at a time. */
  async totals(): Promise<ReadonlyMap<string, FlowTotals>> {
    const turn = this.#listing.then(() => this.#totals());
    this.#listing = turn.catch(() => {});
    return await turn;
  }

  /** These endpoints are gone. */
  forget(addresses: readonly string[]): void {
    this.#ledger.forget(addresses);
  }

  /** First those that have ended, then the others: what ends in between is counted with the next look, and not twice. */
  async #totals(): Promise<ReadonlyMap<string, FlowTotals>> {
    for (let reads = 0; reads < READS_MAX && this.#read(); reads++);
    this.#timer?.cancel();
    try {
      return this.#ledger.totals(await this.#source.list());
    } finally {
      if (!this.#stopped) this.#timer = this.#clock.timer("flows", READ_MS, () => this.#look());
    }
  }

  #look(): void {
    const isMore = this.#read();
    const ms = isMore ? READ_ON_MS : READ_MS;
    if (!this.#stopped) this.#timer = this.#clock.timer("flows", ms, () => this.#look());
  }

  /** Whether there may be more. */
  #read(): boolean {
    const { counts, isMore, isLossy } = this.#source.ended(READ_MAX);
    for (const count of counts) this.#ledger.end(count);
    if (isLossy) this.#losses += 1;
    return isMore;
  }
}
