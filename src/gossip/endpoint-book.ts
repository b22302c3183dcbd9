/**
 * One node's copy of what all nodes say about their endpoints, and its own word in it. With each answer to a
 * ping goes a digest: how far the answerer's own word is, and a hash of all it knows. So whoever lags behind
 * a node, or differs from it, finds out with the next ping, and asks for an exchange.
 */
import { isDeepStrictEqual } from "node:util";
import {
  boundedEndpoints,
  decodeNews,
  type EndpointNews,
  encodeNews,
  hashOfNews,
  mergeNews,
  NEWS_BYTES_MAX,
  type NewsTable,
  type SaidEndpoint,
  TABLE_HASH_BYTES,
} from "./endpoint-news.ts";
import { DecodeError } from "./msgpack.ts";

/** What others should hear too. */
export interface FreshNews {
  readonly key: string;
  readonly payload: Buffer;
}

/** What a member's digest says about it and about this node. */
export interface DigestFinding {
  /** Words of the member about its own endpoints that have not arrived here. */
  readonly lag: number;
  /** Whether both know the same of everybody. */
  readonly agrees: boolean;
}

/** Epoch (48 bits), version (32 bits), hash. Other programs' payloads begin otherwise. */
const DIGEST_MARK = 0x77;
const DIGEST_BYTES = 1 + 6 + 4 + TABLE_HASH_BYTES;
/** Epochs are clocks' milliseconds: one from further in the future could hardly be outbid by its own node. */
const AHEAD_MS_MAX = 3_600_000;
const VERSION_MAX = 2 ** 32 - 1;
const EPOCH_MAX = 2 ** 48 - 1;
const NOTHING: readonly SaidEndpoint[] = [];

export class EndpointBook {
  /** Under which a node's own word is broadcast. */
  static readonly key = "endpoints";
  readonly #node: string;
  #own: EndpointNews;
  #table: NewsTable = new Map();
  /** Whose word counts: the managers' own list of nodes. */
  #nodes: ReadonlySet<string> = new Set();
  #hash: Buffer | undefined;

  /** `epoch` is higher than at any earlier start, as far as a clock can say. */
  constructor(node: string, epoch: number) {
    this.#node = node;
    const ownEpoch = Math.min(epoch, EPOCH_MAX);
    this.#own = { node, epoch: ownEpoch, version: 0, endpoints: NOTHING };
  }

  /** Words of other nodes than these are forgotten, and not taken any more. */
  setNodes(nodeIDs: Iterable<string>): void {
    this.#nodes = new Set(nodeIDs);
    this.#setTable(new Map([...this.#table].filter(([node]) => this.#nodes.has(node))));
  }

  /** What this node says of its endpoints from now on: what to tell, when it is new and short enough for a packet. */
  setOwn(own: readonly SaidEndpoint[]): Buffer | undefined {
    const endpoints = boundedEndpoints(own);
    if (isDeepStrictEqual(endpoints, this.#own.endpoints)) return undefined;
    this.#own = { ...this.#own, version: this.#own.version + 1, endpoints };
    this.#hash = undefined;
    return forPacket(this.#own);
  }

  /**
   * Takes in what came; the newer of it is returned, to be passed on. What cannot be read is none. Who has the key
   * could speak in another's name: the other hears it, and says it anew with a later epoch. `now` is the clock's.
   */
  learn(bytes: Buffer, now: number): readonly FreshNews[] {
    return read(bytes).flatMap((news) => {
      if (news.epoch > now + AHEAD_MS_MAX || news.version > VERSION_MAX) return [];
      if (news.node === this.#node) return this.#outbid(news);
      if (!this.#nodes.has(news.node)) return [];
      const before = this.#table;
      this.#setTable(mergeNews(before, news));
      const payload = this.#table === before ? undefined : forPacket(news);
      return payload === undefined ? [] : [{ key: `${EndpointBook.key} ${news.node}`, payload }];
    });
  }

  /** What a node says of its endpoints; of this one what it says itself. */
  saidBy(node: string): readonly SaidEndpoint[] {
    const news = node === this.#node ? this.#own : this.#table.get(node);
    return news?.endpoints ?? NOTHING;
  }

  /** All of it, for an exchange. */
  state(): Buffer {
    return Buffer.concat(this.#all().map(encodeNews));
  }

  digest(): Buffer {
    const digest = Buffer.alloc(DIGEST_BYTES);
    digest.writeUInt8(DIGEST_MARK, 0);
    digest.writeUIntBE(this.#own.epoch, 1, 6);
    digest.writeUInt32BE(this.#own.version, 7);
    this.#hashed().copy(digest, 11);
    return digest;
  }

  /** What this node lacks, going by another's digest; undefined when that is none. */
  compare(node: string, digest: Buffer): DigestFinding | undefined {
    if (digest.length !== DIGEST_BYTES || digest[0] !== DIGEST_MARK) return undefined;
    const [epoch, version] = [digest.readUIntBE(1, 6), digest.readUInt32BE(7)];
    const known = this.#table.get(node);
    const isSameEpoch = known?.epoch === epoch;
    const isAhead = known !== undefined && known.epoch > epoch;
    // A node that has said nothing since its start is not waited for.
    const behind = isSameEpoch ? version - known.version : version;
    return {
      lag: isAhead ? 0 : Math.max(0, behind),
      agrees: this.#hashed().equals(digest.subarray(11)),
    };
  }

  /** A word of this node's from before its clock went back: today's has to be the newer one. */
  #outbid(news: EndpointNews): readonly FreshNews[] {
    const { epoch, version } = this.#own;
    if (news.epoch < epoch || (news.epoch === epoch && news.version <= version)) return [];
    this.#own = { ...this.#own, epoch: news.epoch + 1 };
    this.#hash = undefined;
    const payload = forPacket(this.#own);
    return payload === undefined ? [] : [{ key: EndpointBook.key, payload }];
  }

  #setTable(table: NewsTable): void {
    if (table !== this.#table) this.#hash = undefined;
    this.#table = table;
  }

  #all(): readonly EndpointNews[] {
    return [this.#own, ...this.#table.values()];
  }

  /** Who has nothing to say says it differently at each start, and is left out. */
  #hashed(): Buffer {
    this.#hash ??= hashOfNews(this.#all().filter(({ endpoints }) => endpoints.length > 0));
    return this.#hash;
  }
}

function forPacket(news: EndpointNews): Buffer | undefined {
  const payload = encodeNews(news);
  return payload.length <= NEWS_BYTES_MAX ? payload : undefined;
}

/** Other programs' news may come the same way: what is no news of ours is left alone. */
function read(bytes: Buffer): readonly EndpointNews[] {
  try {
    return decodeNews(bytes);
  } catch (error) {
    if (error instanceof DecodeError) return [];
    throw error;
  }
}
