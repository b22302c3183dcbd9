/**
 * Answers by the bytes of their questions: all of a query but its id and its wishes is the key, so that a datagram that
 * was asked before is neither decoded nor looked up nor encoded again. An answer is the same until a set that it
 * was looked up in changes; only its id, the echoed wish for recursion and the order of its records are not.
 */
import { type Random, randomBelow } from "../../base/random.ts";
import type { NameIndex } from "./name-index.ts";

/** A longer question is answered as if it were new each time. */
const QUESTION_BYTES_MAX = 320;
const HEADER_BYTES = 12;
/** Of the header: id and flags. What counts its sections is part of the question. */
const NOT_OF_THE_QUESTION = 4;
/** Of the third byte: whether it is an answer, and the operation. */
const NO_STANDARD_QUERY = 0xf8;
const RECURSION_DESIRED = 0x01;

/** An answer's bytes, and which parts of them may come in any order. */
export interface OrderedAnswer {
  readonly bytes: Buffer;
  /** Where the first of its answer records begins, and where each ends; empty when there are not two. */
  readonly bounds: readonly number[];
}

interface Remembered extends OrderedAnswer {
  /** The order in which the records came last. */
  readonly order: number[];
}

export class AnswerMemo {
  readonly #max: number;
  #answers = new Map<string, Remembered>();
  #sets: readonly NameIndex[] = [];
  #revisions: readonly number[] = [];

  /** `max`: so many are remembered; with one more all are forgotten. */
  constructor(max: number) {
    this.#max = max;
  }

  /** The answer to this datagram, if these sets gave it one before and are as they were. */
  find(data: Buffer, sets: readonly NameIndex[], random: Random): Buffer | undefined {
    if (!isQuestion(data)) return undefined;
    if (!this.#isOf(sets)) {
      this.#forget(sets);
      return undefined;
    }
    const known = this.#answers.get(keyOf(data));
    return known === undefined ? undefined : addressed(reordered(known, random), data);
  }

  /** To be answered so from now on; right after `find` found none. */
  remember(data: Buffer, { bytes, bounds }: OrderedAnswer): void {
    if (!isQuestion(data)) return;
    if (this.#answers.size >= this.#max) this.#answers = new Map();
    const order = bounds.slice(1).map((_, at) => at);
    this.#answers.set(keyOf(data), { bytes, bounds, order });
  }

  #isOf(sets: readonly NameIndex[]): boolean {
    const known = this.#sets;
    if (known.length !== sets.length) return false;
    for (let at = 0; at < sets.length; at++) {
      if (known[at] !== sets[at] || this.#revisions[at] !== sets[at]?.revision) return false;
    }
    return true;
  }

  #forget(sets: readonly NameIndex[]): void {
    this.#answers = new Map();
    this.#sets = sets;
    this.#revisions = sets.map(({ revision }) => revision);
  }
}

function isQuestion(data: Buffer): boolean {
  const { length } = data;
  if (length < HEADER_BYTES || length > QUESTION_BYTES_MAX) return false;
  return ((data[2] ?? 0) & NO_STANDARD_QUERY) === 0;
}

function keyOf(data: Buffer): string {
  return data.toString("latin1", NOT_OF_THE_QUESTION);
}

/** A copy: the last answer may not be sent yet. */
function reordered({ bytes, bounds, order }: Remembered, random: Random): Buffer {
  const copy = Buffer.allocUnsafe(bytes.length);
  bytes.copy(copy);
  if (order.length === 0) return copy;
  // As any order is as likely as any other, so is each that is made of the last.
  for (let at = order.length - 1; at > 0; at--) {
    const other = randomBelow(random, at + 1);
    const one = order[at] ?? 0;
    order[at] = order[other] ?? 0;
    order[other] = one;
  }
  let to = bounds[0] ?? 0;
  for (const record of order) {
    to += bytes.copy(copy, to, bounds[record], bounds[record + 1]);
  }
  return copy;
}

function addressed(answer: Buffer, query: Buffer): Buffer {
  answer[0] = query[0] ?? 0;
  answer[1] = query[1] ?? 0;
  const flags = (answer[2] ?? 0) & ~RECURSION_DESIRED;
  answer[2] = flags | ((query[2] ?? 0) & RECURSION_DESIRED);
  return answer;
}
