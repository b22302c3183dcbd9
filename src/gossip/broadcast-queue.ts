/**
 * News that still has to be told, each a limited number of times. What was sent least often goes
 * first, of those the newest; newer news about the same thing replaces the older.
 */
import { encodeMessage, type Message } from "./messages.ts";
import { COMPOUND_ENTRY_BYTES } from "./packet.ts";

export interface Broadcast {
  /** What it is about. */
  readonly key: string;
  readonly message: Message;
  readonly bytes: number;
  readonly transmits: number;
}

/** Ordered by transmits, then newest first. */
export type BroadcastQueue = readonly Broadcast[];

/**
 * Members' news is bounded by the members; of anything else no more than this waits. At the bound
 * what was sent most often goes: an anti-entropy exchange carries what somebody missed.
 */
export const BROADCASTS_MAX = 20_000;

export function enqueue(queue: BroadcastQueue, key: string, message: Message): BroadcastQueue {
  const bytes = encodeMessage(message).length;
  const others = queue.filter((each) => each.key !== key).slice(0, BROADCASTS_MAX - 1);
  return [{ key, message, bytes, transmits: 0 }, ...others];
}

export interface Taken {
  readonly messages: readonly Message[];
  readonly queue: BroadcastQueue;
}

/** As much news as fits into `bytesMax` and `countMax`; what has been sent `transmitsMax` times is told. */
export function takeBroadcasts(
  queue: BroadcastQueue,
  bytesMax: number,
  countMax: number,
  transmitsMax: number,
): Taken {
  let left = bytesMax;
  const taken: Broadcast[] = [];
  const kept: Broadcast[] = [];
  for (const each of queue) {
    const cost = each.bytes + COMPOUND_ENTRY_BYTES;
    if (cost > left || taken.length >= countMax) {
      kept.push(each);
      continue;
    }
    left -= cost;
    taken.push(each);
  }
  if (taken.length === 0) return { messages: [], queue };
  const again = taken
    .map((each) => ({ ...each, transmits: each.transmits + 1 }))
    .filter(({ transmits }) => transmits < transmitsMax);
  const messages = taken.map(({ message }) => message);
  return { messages, queue: byTransmits([...kept, ...again]) };
}

/** How often news is sent in a cluster of this size: enough that nearly all have heard it. */
export function transmitsMax(factor: number, members: number): number {
  return factor * Math.ceil(Math.log10(members + 1));
}

/** Stable, so that of equally often sent the newer stay in front. */
function byTransmits(broadcasts: readonly Broadcast[]): BroadcastQueue {
  return broadcasts.toSorted((a, b) => a.transmits - b.transmits);
}
