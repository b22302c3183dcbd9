/**
 * What is wrong between this member and others, from what passes and what does not: a port that is open for
 * one protocol only, a key that others do not have, two of one name. Each is shown while it lasts.
 */

export const AILMENT_KINDS = ["udp", "tcp", "key", "name"] as const;
/** No packets, only connections; the other way round; nothing that our keys open; another of a member's name. */
export type AilmentKind = (typeof AILMENT_KINDS)[number];

export interface Ailment {
  readonly kind: AilmentKind;
  /** The other's address, without port; of `name` the address of the second of that name. */
  readonly host: string;
  /** Of `name`: whose name it is. */
  readonly node?: string;
  /** Of `key`: how many that no key of ours opened, one after the other. */
  readonly packets?: number;
}

/** So many answers over TCP in a row, and no packet between them, mean that UDP does not pass. */
const STREAM_ONLY_ANSWERS = 3;
/** So many exchanges in a row with one that answers over UDP. */
const FAILED_EXCHANGES = 2;
/**
 * So many packets that no key opens, and none between them that one does; no longer than this apart, for who has another
 * key is heard but seldom, as it tries all members in turn.
 */
const UNSEALED_PACKETS = 5;
const UNSEALED_MS_MAX = 300_000;
/** One that has moved is still spoken of at its old address for a moment; two of one name go on and on. */
const CONFLICT_MS_MIN = 10_000;
const CONFLICT_MS_MAX = 60_000;
/** Hosts remembered for each kind; at the bound all of the kind are forgotten, and noted anew. */
const HOSTS_MAX = 1_024;

interface Span {
  readonly first: number;
  readonly last: number;
  readonly count: number;
}

export class Ailments {
  readonly #streamOnly = new Map<string, number>();
  readonly #failedExchanges = new Map<string, number>();
  readonly #unsealed = new Map<string, Span>();
  readonly #conflicts = new Map<string, Span & { readonly node: string; readonly host: string }>();

  /** A member's packet came, one that a key of ours opens. */
  notePacket(host: string): void {
    if (this.#streamOnly.size > 0) this.#streamOnly.delete(host);
    if (this.#unsealed.size > 0) this.#unsealed.delete(host);
  }

  /** It answered a ping over a connection, while the packet got no answer. */
  noteStreamAnswer(host: string): void {
    put(this.#streamOnly, host, (this.#streamOnly.get(host) ?? 0) + 1);
    this.#failedExchanges.delete(host);
  }

  noteExchange(host: string, hasSucceeded: boolean): void {
    if (hasSucceeded) this.#failedExchanges.delete(host);
    else put(this.#failedExchanges, host, (this.#failedExchanges.get(host) ?? 0) + 1);
  }

  /** It died, or is back: what was is over. */
  forget(host: string): void {
    this.#streamOnly.delete(host);
    this.#failedExchanges.delete(host);
  }

  noteUnsealed(host: string, now: number): void {
    put(this.#unsealed, host, extended(this.#unsealed.get(host), now, UNSEALED_MS_MAX));
  }

  noteConflict(node: string, host: string, now: number): void {
    const key = `${node} ${host}`;
    const span = extended(this.#conflicts.get(key), now, CONFLICT_MS_MAX);
    put(this.#conflicts, key, { ...span, node, host });
  }

  /** `isAlive` says whether a member at this address answers. */
  list(now: number, isAlive: (host: string) => boolean): readonly Ailment[] {
    const found: Ailment[] = [];
    for (const [host, answers] of this.#streamOnly) {
      if (answers >= STREAM_ONLY_ANSWERS && isAlive(host)) found.push({ kind: "udp", host });
    }
    for (const [host, failures] of this.#failedExchanges) {
      const isOpen = !this.#streamOnly.has(host) && !this.#unsealed.has(host);
      if (failures >= FAILED_EXCHANGES && isOpen && isAlive(host)) {
        found.push({ kind: "tcp", host });
      }
    }
    for (const [host, { last, count }] of this.#unsealed) {
      const isNow = now - last <= UNSEALED_MS_MAX;
      if (isNow && count >= UNSEALED_PACKETS) found.push({ kind: "key", host, packets: count });
    }
    for (const { node, host, first, last } of this.#conflicts.values()) {
      const isNow = now - last <= CONFLICT_MS_MAX;
      if (isNow && last - first >= CONFLICT_MS_MIN) found.push({ kind: "name", host, node });
    }
    return found;
  }
}

function put<V>(map: Map<string, V>, key: string, value: V): void {
  if (map.size >= HOSTS_MAX && !map.has(key)) map.clear();
  map.set(key, value);
}

/** One more in a row; after a pause a new row begins. */
function extended(before: Span | undefined, now: number, pauseMsMax: number): Span {
  if (before === undefined || now - before.last > pauseMsMax) {
    return { first: now, last: now, count: 1 };
  }
  return { first: before.first, last: now, count: before.count + 1 };
}
