/** From the bytes of a query to those of its answer: names that are ours at once, others from upstream where there is one. */
import type { Random } from "../../base/random.ts";
import { lookUp, type Sight } from "./lookup.ts";
import {
  decodeQuery,
  encodeLookup,
  encodeRefusal,
  QUERY_BYTES_MAX,
  STREAM_BYTES_MAX,
} from "./wire.ts";

export type Transport = "udp" | "tcp";

/** Who is asked for what is nobody's of ours. */
export interface Upstream {
  /** Resolves with the answer's bytes; rejects when there is none within its bound. */
  exchange(query: Buffer, transport: Transport): Promise<Buffer>;
}

export interface ResponderComponents {
  /** What this asker may see now. */
  readonly sight: () => Sight;
  readonly random: Random;
  /** Absent: what is not ours is refused. */
  readonly upstream?: Upstream;
}

export class Responder {
  readonly #components: ResponderComponents;

  constructor(components: ResponderComponents) {
    this.#components = components;
  }

  /** Undefined for what deserves no answer. Only what goes upstream is a promise: nothing of ours waits for it. */
  respond(data: Buffer, transport: Transport): Buffer | undefined | Promise<Buffer | undefined> {
    const query = decodeQuery(data);
    if (query === undefined) return undefined;
    const { question, refusal } = query;
    if (question === undefined || refusal !== undefined) {
      return encodeRefusal(query, refusal ?? "FORMERR");
    }
    const { sight, random, upstream } = this.#components;
    const lookup = lookUp(sight(), question, random);
    if (lookup.kind === "foreign" && upstream !== undefined) {
      return upstream
        .exchange(data.subarray(0, QUERY_BYTES_MAX), transport)
        .catch(() => encodeRefusal(query, "SERVFAIL"));
    }
    return encodeLookup(query, lookup, transport === "tcp" ? STREAM_BYTES_MAX : query.datagramMax);
  }
}
