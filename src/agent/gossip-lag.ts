/**
 * How far this node is behind each other, from the digests that come with the answers to its pings, and when
 * a difference is to be repaired by an exchange. News is on its way for moments, which is no difference yet.
 */
import type { DigestFinding } from "../gossip/endpoint-book.ts";

/** A difference with one node that is older than this is repaired. */
const DIFFERS_MS_MAX = 2_000;
/** So is one with everybody: in a large cluster the same node is asked again only after minutes. */
const DIFFERENT_RUNNING_MAX = 8;
/** One repair in this time, whatever differs: an exchange takes some hundred bytes for each node. */
const REPAIR_MS = 1_000;

export interface Lag extends DigestFinding {
  /** Monotonic milliseconds of the answer. */
  readonly at: number;
  readonly differsSince: number | undefined;
}

export class GossipLag {
  readonly #lags = new Map<string, Lag>();
  #running = 0;
  #repairedAt = Number.NEGATIVE_INFINITY;

  of(node: string): Lag | undefined {
    return this.#lags.get(node);
  }

  /** Nodes that are no members any more are forgotten. */
  keep(nodes: ReadonlySet<string>): void {
    for (const node of this.#lags.keys()) if (!nodes.has(node)) this.#lags.delete(node);
  }

  /** Whether this node should exchange everything with that one now. */
  note(node: string, finding: DigestFinding, now: number): boolean {
    const isSame = finding.agrees && finding.lag === 0;
    const before = this.#lags.get(node)?.differsSince;
    const differsSince = isSame ? undefined : (before ?? now);
    this.#lags.set(node, { ...finding, at: now, differsSince });
    this.#running = isSame ? 0 : this.#running + 1;
    if (differsSince === undefined || now - this.#repairedAt < REPAIR_MS) return false;
    const isOld = now - differsSince >= DIFFERS_MS_MAX;
    if (!isOld && this.#running < DIFFERENT_RUNNING_MAX) return false;
    this.#running = 0;
    this.#repairedAt = now;
    return true;
  }
}
