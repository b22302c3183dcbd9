/**
 * Packets: one message or several behind each other, compressed when that is shorter, with a
 * checksum for whoever reads one, sealed when there are keys. Reading undoes the same, layer by
 * layer, each at most once.
 */
import { crc32 } from "node:zlib";
import { type Keyring, SEAL_BYTES } from "./keyring.ts";
import { lzwCompress, lzwDecompress } from "./lzw.ts";
import { decodeMessage, Fields, MESSAGE_TYPE, type Message } from "./messages.ts";
import { DecodeError, PackedReader, packFields } from "./msgpack.ts";

/** A datagram of ours, its seal and checksum included; fits every path that carries IPv6 in a tunnel. */
export const PACKET_BYTES_MAX = 1_400;
/** What a packet may decompress to: memberlist's own packets never exceed a datagram. */
const DECOMPRESSED_BYTES_MAX = 65_536;
/** Shorter packets are not worth trying to compress. */
const COMPRESS_BYTES_MIN = 256;
/** A compound's count is one byte. */
export const COMPOUND_MESSAGES_MAX = 255;
const CRC_BYTES = 5;
const COMPOUND_HEAD_BYTES = 2;
/** What each message in a compound costs besides itself. */
export const COMPOUND_ENTRY_BYTES = 2;
/** What is left for messages when all layers are there. */
export const MESSAGES_BYTES_MAX = PACKET_BYTES_MAX - SEAL_BYTES - CRC_BYTES - COMPOUND_HEAD_BYTES;

export interface PacketOptions {
  readonly keyring: Keyring | undefined;
  /** Whether the receiver's protocol knows checksums. */
  readonly crc: boolean;
}

/** One datagram of these messages, which are within MESSAGES_BYTES_MAX and COMPOUND_MESSAGES_MAX. */
export function encodePacket(messages: readonly Buffer[], { keyring, crc }: PacketOptions): Buffer {
  const [only] = messages;
  const joined = messages.length === 1 && only !== undefined ? only : compound(messages);
  const body = joined.length < COMPRESS_BYTES_MIN ? joined : shorter(joined, compress(joined));
  const checked = crc ? withCrc(body) : body;
  return keyring === undefined ? checked : keyring.seal(checked);
}

export interface DecodedPacket {
  readonly messages: readonly Message[];
  /** What was wrong with those messages of a compound that are not here. */
  readonly faults: readonly DecodeError[];
}

/** Throws DecodeError when no message can be found in it; SealError when no key opens it. */
export function decodePacket(bytes: Buffer, keyring: Keyring | undefined): DecodedPacket {
  let body = keyring === undefined ? bytes : keyring.open(bytes);
  if (body[0] === MESSAGE_TYPE.hasCrc) body = checked(body);
  if (body[0] === MESSAGE_TYPE.compress) {
    body = decompress(new PackedReader(body, 1), DECOMPRESSED_BYTES_MAX);
  }
  if (body[0] !== MESSAGE_TYPE.compound) return { messages: [decodeMessage(body)], faults: [] };
  const messages: Message[] = [];
  const faults: DecodeError[] = [];
  for (const part of compoundParts(body)) {
    try {
      messages.push(decodeMessage(part));
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      faults.push(error);
    }
  }
  return { messages, faults };
}

/** The compressed form of a whole message or of a whole stream. */
export function compress(body: Buffer): Buffer {
  const fields = packFields({ Algo: 0, Buf: lzwCompress(body) });
  return Buffer.concat([Buffer.of(MESSAGE_TYPE.compress), fields]);
}

export function decompress(reader: PackedReader, lengthMax: number): Buffer {
  const fields = Fields.read(reader);
  if (fields.uint32("Algo") !== 0) throw new DecodeError("compressed with an unknown algorithm");
  return lzwDecompress(fields.bytes("Buf", lengthMax), lengthMax);
}

function shorter(plain: Buffer, compressed: Buffer): Buffer {
  return compressed.length < plain.length ? compressed : plain;
}

function compound(messages: readonly Buffer[]): Buffer {
  const head = Buffer.alloc(COMPOUND_HEAD_BYTES + COMPOUND_ENTRY_BYTES * messages.length);
  head[0] = MESSAGE_TYPE.compound;
  head[1] = messages.length;
  messages.forEach((message, index) => {
    head.writeUInt16BE(message.length, COMPOUND_HEAD_BYTES + COMPOUND_ENTRY_BYTES * index);
  });
  return Buffer.concat([head, ...messages]);
}

/** A compound that is cut off still yields the messages that are whole. */
function* compoundParts(body: Buffer): Generator<Buffer> {
  const count = body[1] ?? 0;
  let offset = COMPOUND_HEAD_BYTES + COMPOUND_ENTRY_BYTES * count;
  if (body.length < offset) throw new DecodeError("a compound ends within its list of lengths");
  for (let index = 0; index < count; index++) {
    const length = body.readUInt16BE(COMPOUND_HEAD_BYTES + COMPOUND_ENTRY_BYTES * index);
    yield body.subarray(offset, offset + length);
    offset += length;
  }
}

function withCrc(body: Buffer): Buffer {
  const head = Buffer.alloc(CRC_BYTES, MESSAGE_TYPE.hasCrc);
  head.writeUInt32BE(crc32(body), 1);
  return Buffer.concat([head, body]);
}

function checked(bytes: Buffer): Buffer {
  if (bytes.length < CRC_BYTES) throw new DecodeError("a checksum is cut off");
  const body = bytes.subarray(CRC_BYTES);
  if (bytes.readUInt32BE(1) !== crc32(body)) throw new DecodeError("the checksum is wrong");
  return body;
}
