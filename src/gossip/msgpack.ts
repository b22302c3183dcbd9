/**
 * The part of MessagePack that memberlist speaks, in the form from before strings and binaries
 * were told apart: both are the "raw" family, so a raw is bytes here and becomes text only where a
 * field is known to be text. Decoding is bounded by the bytes there are: no count is believed
 * before its elements have been seen.
 */
export type Packed =
  | null
  | boolean
  | number
  | bigint
  | Uint8Array
  | readonly Packed[]
  | ReadonlyMap<string, Packed>;

/** Bytes that are not what they should be. Counted by whoever reads from the network, never fatal. */
export class DecodeError extends Error {
  override readonly name = "DecodeError";
}

/** The bytes end within a value: a packet is cut off, a stream has more to come. */
export class ShortInput extends DecodeError {}

/** No message nests deeper; what does is refused before it can use up the stack. */
const DEPTH_MAX = 8;

/** Reads values one after the other from bytes. */
export class PackedReader {
  readonly #bytes: Buffer;
  offset: number;

  constructor(bytes: Uint8Array, offset = 0) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.offset = offset;
  }

  get left(): number {
    return this.#bytes.length - this.offset;
  }

  /** The next `length` bytes; a view, no copy. */
  take(length: number): Buffer {
    if (length > this.left) throw new ShortInput(`${length - this.left} bytes are missing`);
    this.offset += length;
    return this.#bytes.subarray(this.offset - length, this.offset);
  }

  /** An unsigned big-endian integer of 1 to 6 bytes. */
  uint(length: number): number {
    return this.take(length).readUIntBE(0, length);
  }

  value(depth = 0): Packed {
    if (depth > DEPTH_MAX) throw new DecodeError("nested too deeply");
    const head = this.uint(1);
    if (head < 0x80) return head;
    if (head < 0x90) return this.#map(head & 0x0f, depth);
    if (head < 0xa0) return this.#array(head & 0x0f, depth);
    if (head < 0xc0) return this.take(head & 0x1f);
    if (head >= 0xe0) return head - 0x100;
    return this.#wide(head, depth);
  }

  #wide(head: number, depth: number): Packed {
    switch (head) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
      case 0xd9:
        return this.take(this.uint(1));
      case 0xc5:
      case 0xda:
        return this.take(this.uint(2));
      case 0xc6:
      case 0xdb:
        return this.take(this.uint(4));
      case 0xca:
        return this.take(4).readFloatBE();
      case 0xcb:
        return this.take(8).readDoubleBE();
      case 0xcc:
        return this.uint(1);
      case 0xcd:
        return this.uint(2);
      case 0xce:
        return this.uint(4);
      case 0xcf:
        return narrow(this.take(8).readBigUInt64BE());
      case 0xd0:
        return this.take(1).readInt8();
      case 0xd1:
        return this.take(2).readInt16BE();
      case 0xd2:
        return this.take(4).readInt32BE();
      case 0xd3:
        return narrow(this.take(8).readBigInt64BE());
      case 0xdc:
        return this.#array(this.uint(2), depth);
      case 0xdd:
        return this.#array(this.uint(4), depth);
      case 0xde:
        return this.#map(this.uint(2), depth);
      case 0xdf:
        return this.#map(this.uint(4), depth);
      default:
        throw new DecodeError(`no value begins with byte 0x${head.toString(16)}`);
    }
  }

  #array(length: number, depth: number): Packed[] {
    this.#expect(length);
    return Array.from({ length }, () => this.value(depth + 1));
  }

  #map(length: number, depth: number): Map<string, Packed> {
    this.#expect(length * 2);
    const map = new Map<string, Packed>();
    for (let index = 0; index < length; index++) {
      const key = this.value(depth + 1);
      if (!(key instanceof Uint8Array)) throw new DecodeError("a map's key is no string");
      map.set(Buffer.from(key).toString("utf8"), this.value(depth + 1));
    }
    return map;
  }

  /** Every element is a byte at least, so more elements than bytes are a lie or have yet to come. */
  #expect(elements: number): void {
    if (elements > this.left) throw new ShortInput(`${elements - this.left} bytes are missing`);
  }
}

/** A value in memberlist's form: the shortest integers, raws of one family, keys in the order given. */
export function pack(value: Packed | string): Buffer {
  const parts: Uint8Array[] = [];
  packInto(parts, value);
  return Buffer.concat(parts);
}

/** A map of these fields, sorted by name as memberlist's own encoder does. */
export function packFields(fields: Readonly<Record<string, Packed | string | undefined>>): Buffer {
  const present = Object.entries(fields)
    .filter((entry): entry is [string, Packed | string] => entry[1] !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const parts: Uint8Array[] = [header(present.length, 0x80, 15, 0xde)];
  for (const [name, value] of present) {
    packInto(parts, name);
    packInto(parts, value);
  }
  return Buffer.concat(parts);
}

function packInto(parts: Uint8Array[], value: Packed | string): void {
  if (value === null) parts.push(Buffer.of(0xc0));
  else if (typeof value === "boolean") parts.push(Buffer.of(value ? 0xc3 : 0xc2));
  else if (typeof value === "number") parts.push(packNumber(value));
  else if (typeof value === "bigint") parts.push(packBig(value));
  else if (typeof value === "string") packInto(parts, Buffer.from(value, "utf8"));
  else if (value instanceof Uint8Array) parts.push(header(value.length, 0xa0, 31, 0xda), value);
  else if (value instanceof Map) {
    parts.push(header(value.size, 0x80, 15, 0xde));
    for (const [key, each] of value as ReadonlyMap<string, Packed>) {
      packInto(parts, key);
      packInto(parts, each);
    }
  } else {
    const list = value as readonly Packed[];
    parts.push(header(list.length, 0x90, 15, 0xdc));
    for (const each of list) packInto(parts, each);
  }
}

function packNumber(value: number): Buffer {
  if (!Number.isInteger(value)) {
    const bytes = Buffer.alloc(9, 0xcb);
    bytes.writeDoubleBE(value, 1);
    return bytes;
  }
  if (value >= 0 && value < 0x80) return Buffer.of(value);
  if (value < 0 && value >= -0x20) return Buffer.of(value + 0x100);
  if (value < 0 || value > 0xffff_ffff) return packBig(BigInt(value));
  const length = value <= 0xff ? 1 : value <= 0xffff ? 2 : 4;
  const bytes = Buffer.alloc(1 + length);
  bytes[0] = length === 1 ? 0xcc : length === 2 ? 0xcd : 0xce;
  bytes.writeUIntBE(value, 1, length);
  return bytes;
}

function packBig(value: bigint): Buffer {
  const bytes = Buffer.alloc(9, value < 0n ? 0xd3 : 0xcf);
  if (value < 0n) bytes.writeBigInt64BE(value, 1);
  else bytes.writeBigUInt64BE(value, 1);
  return bytes;
}

/** A length's head: within the first byte when it fits, else `wide` and 16 bits, or the next and 32. */
function header(length: number, fixed: number, fixedMax: number, wide: number): Buffer {
  if (length <= fixedMax) return Buffer.of(fixed | length);
  const bytes = Buffer.alloc(length <= 0xffff ? 3 : 5);
  if (length <= 0xffff) bytes.writeUInt16BE(length, 1);
  else bytes.writeUInt32BE(length, 1);
  bytes[0] = length <= 0xffff ? wide : wide + 1;
  return bytes;
}

/** A number where it is exact, so that comparisons are the usual ones. */
function narrow(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
