/**
 * What is said over TCP: one message each way, a push/pull or a ping, compressed and sealed as in
 * packets, with the sealed length in front. Reading is incremental, and never starts over what it
 * has read already, so that a peer that sends byte by byte costs no more than its bytes.
 */
import { type Keyring, SEAL_BYTES, SealError } from "./keyring.ts";
import {
  decodeFields,
  decodeMemberView,
  encodeMemberView,
  encodeMessage,
  Fields,
  MESSAGE_TYPE,
  type MemberView,
  type Message,
  type PushPull,
} from "./messages.ts";
import { DecodeError, PackedReader, packFields, ShortInput } from "./msgpack.ts";
import { compress, decompress } from "./packet.ts";

/** Received or decompressed; a push/pull of 10,000 members takes two thirds of it. A longer one is refused. */
export const STREAM_BYTES_MAX = 4 * 1024 * 1024;
/** A push/pull of more members is refused before any of them is read. */
const PUSH_PULL_MEMBERS_MAX = 16_384;
const SEALED_HEAD_BYTES = 5;

export type StreamMessage = PushPull | Message;

export function encodeStream(message: StreamMessage, keyring: Keyring | undefined): Buffer {
  const body =
    message.kind === "pushPull" ? compress(encodePushPull(message)) : encodeMessage(message);
  if (keyring === undefined) return body;
  const head = Buffer.alloc(SEALED_HEAD_BYTES, MESSAGE_TYPE.encrypt);
  head.writeUInt32BE(body.length + SEAL_BYTES, 1);
  return Buffer.concat([head, keyring.seal(body, head)]);
}

/** Takes a stream's bytes as they come and gives its one message once it is whole. */
export class StreamDecoder {
  readonly #keyring: Keyring | undefined;
  #bytes: Buffer = Buffer.alloc(1_024);
  #length = 0;
  #pushPull: PushPullReader | undefined;

  constructor(keyring: Keyring | undefined) {
    this.#keyring = keyring;
  }

  /** The message once it is whole. Throws DecodeError, after which the stream is of no use. */
  push(chunk: Buffer): StreamMessage | undefined {
    this.#append(chunk);
    try {
      return this.#read(this.#bytes.subarray(0, this.#length));
    } catch (error) {
      if (error instanceof ShortInput) return undefined;
      throw error;
    }
  }

  #read(bytes: Buffer): StreamMessage {
    const [type] = bytes;
    if (type === undefined) throw new ShortInput("nothing came yet");
    if (this.#keyring === undefined) {
      if (type === MESSAGE_TYPE.encrypt) throw new SealError("sealed, and there is no key here");
      if (type !== MESSAGE_TYPE.pushPull) return readMessage(bytes);
      this.#pushPull ??= new PushPullReader();
      return this.#pushPull.read(bytes);
    }
    // A node without keys says so in plain words; nothing else is heard without a seal.
    if (type === MESSAGE_TYPE.error) return decodeFields(type, new PackedReader(bytes, 1));
    if (type !== MESSAGE_TYPE.encrypt) throw new SealError("not sealed with a gossip key");
    const opened = openFrame(bytes, this.#keyring);
    return wholly(() => readMessage(opened));
  }

  #append(chunk: Buffer): void {
    const length = this.#length + chunk.length;
    if (length > STREAM_BYTES_MAX + SEALED_HEAD_BYTES) throw tooLong();
    if (length > this.#bytes.length) {
      this.#bytes = Buffer.concat([this.#bytes], Math.max(length, this.#bytes.length * 2));
    }
    chunk.copy(this.#bytes, this.#length);
    this.#length = length;
  }
}

/** Reads one member at a time and remembers how far it came. */
class PushPullReader {
  #offset = 1;
  #head: { readonly count: number; readonly userBytes: number; readonly join: boolean } | undefined;
  readonly #members: MemberView[] = [];

  /** `bytes` are all that came so far, the same as before and more. Throws ShortInput until they suffice. */
  read(bytes: Buffer): PushPull {
    const reader = new PackedReader(bytes, this.#offset);
    this.#head ??= this.#readHead(reader);
    const { count, userBytes, join } = this.#head;
    while (this.#members.length < count) {
      this.#members.push(decodeMemberView(reader));
      this.#offset = reader.offset;
    }
    const user = Buffer.from(reader.take(userBytes));
    return { kind: "pushPull", join, members: this.#members, user };
  }

  #readHead(reader: PackedReader) {
    const fields = Fields.read(reader);
    const count = fields.uint32("Nodes");
    const userBytes = fields.uint32("UserStateLen");
    if (count > PUSH_PULL_MEMBERS_MAX || userBytes > STREAM_BYTES_MAX) throw tooLong();
    this.#offset = reader.offset;
    return { count, userBytes, join: fields.flag("Join") };
  }
}

function readMessage(bytes: Buffer): StreamMessage {
  const [type] = bytes;
  if (type !== MESSAGE_TYPE.compress) return readUncompressed(bytes);
  const body = decompress(new PackedReader(bytes, 1), STREAM_BYTES_MAX);
  return wholly(() => readUncompressed(body));
}

function readUncompressed(bytes: Buffer): StreamMessage {
  const [type] = bytes;
  if (type === MESSAGE_TYPE.pushPull) return new PushPullReader().read(bytes);
  return decodeFields(type, new PackedReader(bytes, 1));
}

function openFrame(bytes: Buffer, keyring: Keyring): Buffer {
  const reader = new PackedReader(bytes, 1);
  const length = reader.uint(4);
  if (length > STREAM_BYTES_MAX) throw tooLong();
  return keyring.open(reader.take(length), bytes.subarray(0, SEALED_HEAD_BYTES));
}

/** What was sealed or compressed is whole: nothing that it lacks will still come. */
function wholly<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof ShortInput) throw new DecodeError(error.message, { cause: error });
    throw error;
  }
}

function encodePushPull({ join, members, user }: PushPull): Buffer {
  const head = packFields({ Join: join, Nodes: members.length, UserStateLen: user.length });
  return Buffer.concat([
    Buffer.of(MESSAGE_TYPE.pushPull),
    head,
    ...members.map(encodeMemberView),
    user,
  ]);
}

function tooLong(): DecodeError {
  return new DecodeError(`a stream of more than ${STREAM_BYTES_MAX} bytes`);
}
