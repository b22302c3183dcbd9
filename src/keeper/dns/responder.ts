/** From the bytes of a query to those of its answer: names that are ours at once, others from upstream where there is one. */
import type { Random } from "../../base/random.ts";
import { AnswerMemo } from "./answer-memo.ts";
import { lookUp, type Sight } from "./lookup.ts";
import {
  decodeQuery,
  encodeLookup,
  encodeRefusal,
  QUERY_BYTES_MAX,
  STREAM_BYTES_MAX,
} from "./wire.ts";

/** Of one container's questions: it asks for the same few names. */
const ANSWERS_MAX = 1_024;

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
  /** So many answers are remembered. */
  readonly answersMax?: number;
}

export class Responder {
  readonly #components: ResponderComponents;
  readonly #memo: AnswerMemo;

  constructor(components: ResponderComponents) {
    this.#components = components;
    this.#memo = new AnswerMemo(components.answersMax ?? ANSWERS_MAX);
  }

  /** Undefined for what deserves no answer. Only what goes upstream is a promise: nothing of ours waits for it. */
  respond(data: Buffer, transport: Transport): Buffer | undefined | Promise<Buffer | undefined> {
    const { sight, random, upstream } = this.#components;
    const seen = sight();
    const known = transport === "udp" ? this.#memo.find(data, seen.sets, random) : undefined;
    if (known !== undefined) return known;
    const query = decodeQuery(data);
    if (query === undefined) return undefined;
    const { question, refusal } = query;
    if (question === undefined || refusal !== undefined) {
      return encodeRefusal(query, refusal ?? "FORMERR");
    }
    const lookup = lookUp(seen, question, random);
    if (lookup.kind === "foreign" && upstream !== undefined) {
      return upstream
        .exchange(data.subarray(0, QUERY_BYTES_MAX), transport)
        .catch(() => encodeRefusal(query, "SERVFAIL"));
    }
    if (transport === "tcp") return encodeLookup(query, lookup, STREAM_BYTES_MAX).bytes;
    const answer = encodeLookup(query, lookup, query.datagramMax);
    // Names that nobody has are without number, and what is cut off is drawn anew each time.
    if (lookup.kind === "data" && !answer.isCut) this.#memo.remember(data, answer);
    return answer.bytes;
  }
}
