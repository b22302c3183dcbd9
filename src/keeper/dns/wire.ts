/** The one seam to dns-packet: queries out of datagrams, answers into them, within the size that the asker takes. */
import {
  type Answer,
  AUTHORITATIVE_ANSWER,
  decode,
  encode,
  encodingLength,
  type Packet,
  RECURSION_AVAILABLE,
  RECURSION_DESIRED,
  TRUNCATED_RESPONSE,
} from "dns-packet";
import type { OrderedAnswer } from "./answer-memo.ts";
import type { AnswerRecord, Lookup, Question } from "./lookup.ts";
import { isDomainName } from "./names.ts";

/** A query has one name; a longer message is none of a resolver's, and is not read. */
export const QUERY_BYTES_MAX = 4_096;
/** A header alone. */
const QUERY_BYTES_MIN = 12;
/** Without EDNS a datagram may have no more (RFC 1035 §4.2.1). */
const PLAIN_BYTES_MAX = 512;
/** We say, and believe, no more than this of datagrams. */
export const DATAGRAM_BYTES_MAX = 4_096;
/** A TCP answer's length has two bytes. */
export const STREAM_BYTES_MAX = 65_535;

/** Clients follow changes as fast as they forget. */
export const TTL_S = 1;

export type ResponseCode = "NOERROR" | "FORMERR" | "SERVFAIL" | "NXDOMAIN" | "NOTIMP" | "REFUSED";

const CODES: Readonly<Record<ResponseCode, number>> = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
};

export interface Query {
  readonly id: number;
  /** Absent when it cannot be understood; `refusal` says how it is to be answered then. */
  readonly question?: Question;
  readonly refusal?: ResponseCode;
  readonly recursionDesired: boolean;
  /** Whether the asker speaks EDNS. */
  readonly edns: boolean;
  /** The longest datagram it takes. */
  readonly datagramMax: number;
}

/** Undefined for what deserves no answer: no query at all, or not even a header. */
export function decodeQuery(data: Buffer): Query | undefined {
  if (data.length < QUERY_BYTES_MIN || data.length > QUERY_BYTES_MAX) return undefined;
  const flags = data.readUInt16BE(2);
  // An answer to an answer would go round for ever.
  if ((flags & 0x8000) !== 0) return undefined;
  const base = {
    id: data.readUInt16BE(0),
    recursionDesired: (flags & RECURSION_DESIRED) !== 0,
    edns: false,
    datagramMax: PLAIN_BYTES_MAX,
  };
  if (((flags >> 11) & 0xf) !== 0) return { ...base, refusal: "NOTIMP" };
  let packet: Packet;
  try {
    packet = decode(data);
  } catch {
    return { ...base, refusal: "FORMERR" };
  }
  return { ...base, ...ednsOf(packet), ...questionOf(packet) };
}

function ednsOf({ additionals = [] }: Packet): Partial<Query> {
  const option = additionals.find(({ type }) => type === "OPT");
  if (option?.type !== "OPT") return {};
  const asked = Math.max(option.udpPayloadSize, PLAIN_BYTES_MAX);
  return { edns: true, datagramMax: Math.min(asked, DATAGRAM_BYTES_MAX) };
}

function questionOf({ questions = [] }: Packet): Partial<Query> {
  const [question] = questions;
  if (question === undefined || questions.length > 1) return { refusal: "FORMERR" };
  const { name, type } = question;
  if (name !== "." && !isDomainName(name)) return { refusal: "FORMERR" };
  if (question.class !== "IN") return { question: { name, type }, refusal: "REFUSED" };
  return { question: { name, type } };
}

/** An answer, and whether something that belongs to it was left out. */
export interface EncodedLookup extends OrderedAnswer {
  readonly isCut: boolean;
}

/** The answer to the query in at most so many bytes: what does not fit is left out, and said to be. */
export function encodeLookup(query: Query, lookup: Lookup, bytesMax: number): EncodedLookup {
  if (lookup.kind === "foreign") return plain(encodeRefusal(query, "REFUSED"));
  if (lookup.kind === "nothing") return plain(encodeRefusal(query, "NXDOMAIN"));
  const answers = lookup.answers.map(recordOf);
  const whole = packetOf(query, "NOERROR", answers, lookup.additionals.map(recordOf));
  if (encodingLength(whole) > bytesMax) {
    return { ...plain(encode(truncated(query, answers, bytesMax))), isCut: true };
  }
  return { ...plain(encode(whole)), bounds: boundsOf(query, answers) };
}

function plain(bytes: Buffer): EncodedLookup {
  return { bytes, bounds: [], isCut: false };
}

/** Names are written out each time, so a record's length does not depend on what is before it. */
function boundsOf({ question }: Query, answers: readonly Answer[]): readonly number[] {
  if (answers.length < 2) return [];
  let end = encodingLength({ questions: question === undefined ? [] : [questionRecord(question)] });
  const bounds = [end];
  for (const answer of answers) {
    end += encodingLength({ answers: [answer] }) - QUERY_BYTES_MIN;
    bounds.push(end);
  }
  return bounds;
}

export function encodeRefusal(query: Query, code: ResponseCode): Buffer {
  return encode(packetOf(query, code, [], []));
}

/** Addresses that came along are no loss; without them as many answers as fit. */
function truncated(query: Query, answers: readonly Answer[], bytesMax: number): Packet {
  const bare = packetOf(query, "NOERROR", answers, []);
  if (encodingLength(bare) <= bytesMax) return bare;
  let room = bytesMax - encodingLength(packetOf(query, "NOERROR", [], []));
  let count = 0;
  for (const answer of answers) {
    room -= encodingLength({ answers: [answer] }) - QUERY_BYTES_MIN;
    if (room < 0) break;
    count += 1;
  }
  const packet = packetOf(query, "NOERROR", answers.slice(0, count), []);
  return { ...packet, flags: (packet.flags ?? 0) | TRUNCATED_RESPONSE };
}

function packetOf(
  query: Query,
  code: ResponseCode,
  answers: readonly Answer[],
  additionals: readonly Answer[],
): Packet {
  const desired = query.recursionDesired ? RECURSION_DESIRED : 0;
  const { question } = query;
  return {
    type: "response",
    id: query.id,
    flags: AUTHORITATIVE_ANSWER | RECURSION_AVAILABLE | desired | CODES[code],
    questions: question === undefined ? [] : [questionRecord(question)],
    answers: [...answers],
    additionals: query.edns ? [...additionals, ownEdns()] : [...additionals],
  };
}

function questionRecord({ name, type }: Question) {
  return { name, type, class: "IN" } as NonNullable<Packet["questions"]>[number];
}

function ownEdns(): Answer {
  return {
    type: "OPT",
    name: ".",
    udpPayloadSize: DATAGRAM_BYTES_MAX,
    extendedRcode: 0,
    ednsVersion: 0,
    flags: 0,
    flag_do: false,
    options: [],
  };
}

function recordOf(record: AnswerRecord): Answer {
  const { type, name } = record;
  if (type !== "SRV") return { type, name, ttl: TTL_S, class: "IN", data: record.data };
  const data = { ...record.data, priority: 0, weight: 1 };
  return { type, name, ttl: TTL_S, class: "IN", data };
}
