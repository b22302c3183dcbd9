/**
 * LZW as memberlist uses it: codes packed from the low bit up, literals of eight bits, a clear code
 * first, widths from 9 to 12 bits. Output is bounded, so that a small packet cannot become a large one.
 */
import { DecodeError } from "./msgpack.ts";

const CLEAR = 256;
const END = 257;
const WIDTH_MIN = 9;
/** The last code of 12 bits is never given to a string: the encoder clears instead. */
const CODE_MAX = 4_095;

export function lzwCompress(input: Uint8Array): Buffer {
  const out = new BitWriter();
  let table = new Map<number, number>();
  let width = WIDTH_MIN;
  let newest = END;
  let prefix = -1;
  out.write(CLEAR, width);
  const grow = (): boolean => {
    newest++;
    if (newest === 1 << width) width++;
    if (newest < CODE_MAX) return true;
    out.write(CLEAR, Math.min(width, 12));
    width = WIDTH_MIN;
    newest = END;
    table = new Map();
    return false;
  };
  for (const byte of input) {
    if (prefix < 0) {
      prefix = byte;
      continue;
    }
    const key = prefix * 256 + byte;
    const code = table.get(key);
    if (code !== undefined) {
      prefix = code;
      continue;
    }
    out.write(prefix, width);
    prefix = byte;
    if (grow()) table.set(key, newest);
  }
  if (prefix >= 0) {
    out.write(prefix, width);
    grow();
  }
  out.write(END, width);
  return out.bytes();
}

/** Throws DecodeError on a code that cannot be, on a missing end, and past `lengthMax` bytes. */
export function lzwDecompress(input: Uint8Array, lengthMax: number): Buffer {
  const prefixes = new Uint16Array(CODE_MAX + 1);
  const suffixes = new Uint8Array(CODE_MAX + 1);
  const lengths = new Uint16Array(CODE_MAX + 1);
  const out = new GrowingBuffer(lengthMax);
  const bits = new BitReader(input);
  let width = WIDTH_MIN;
  let newest = END;
  let last = -1;
  for (;;) {
    const code = bits.read(width);
    if (code === END) return out.bytes();
    if (code === CLEAR) {
      width = WIDTH_MIN;
      newest = END;
      last = -1;
      continue;
    }
    // `newest` is the code being defined by this very step; only it may be used before it is known.
    const known = code < CLEAR || code < newest || (code === newest && last >= 0);
    if (!known || (last < 0 && code > END))
      throw new DecodeError(`LZW code ${code} is not defined`);
    const first = firstByte(code === newest && code > END ? last : code, prefixes);
    if (last >= 0 && newest <= CODE_MAX) {
      prefixes[newest] = last;
      suffixes[newest] = first;
      lengths[newest] = lengthOf(last, lengths) + 1;
    }
    out.appendString(code, lengthOf(code, lengths), prefixes, suffixes);
    last = code;
    newest++;
    if (newest >= 1 << width) {
      if (width < 12) width++;
      else {
        last = -1;
        newest--;
      }
    }
  }
}

function lengthOf(code: number, lengths: Uint16Array): number {
  return code < CLEAR ? 1 : (lengths[code] ?? 0);
}

function firstByte(code: number, prefixes: Uint16Array): number {
  let at = code;
  while (at >= CLEAR) at = prefixes[at] ?? 0;
  return at;
}

class GrowingBuffer {
  #bytes = Buffer.alloc(1_024);
  #length = 0;
  readonly #lengthMax: number;

  constructor(lengthMax: number) {
    this.#lengthMax = lengthMax;
  }

  appendString(code: number, length: number, prefixes: Uint16Array, suffixes: Uint8Array): void {
    const end = this.#length + length;
    if (end > this.#lengthMax)
      throw new DecodeError(`decompresses to more than ${this.#lengthMax} bytes`);
    if (end > this.#bytes.length) {
      this.#bytes = Buffer.concat([this.#bytes], Math.max(end, this.#bytes.length * 2));
    }
    let at = code;
    for (let index = end - 1; index > this.#length; index--) {
      this.#bytes[index] = suffixes[at] ?? 0;
      at = prefixes[at] ?? 0;
    }
    this.#bytes[this.#length] = at;
    this.#length = end;
  }

  bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }
}

class BitWriter {
  readonly #bytes: number[] = [];
  #pending = 0;
  #count = 0;

  write(code: number, width: number): void {
    this.#pending |= code << this.#count;
    this.#count += width;
    while (this.#count >= 8) {
      this.#bytes.push(this.#pending & 0xff);
      this.#pending >>>= 8;
      this.#count -= 8;
    }
  }

  bytes(): Buffer {
    const last = this.#count > 0 ? [this.#pending & 0xff] : [];
    return Buffer.from([...this.#bytes, ...last]);
  }
}

class BitReader {
  readonly #bytes: Uint8Array;
  #offset = 0;
  #pending = 0;
  #count = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  read(width: number): number {
    while (this.#count < width) {
      const byte = this.#bytes[this.#offset++];
      if (byte === undefined) throw new DecodeError("LZW data ends without its end code");
      this.#pending |= byte << this.#count;
      this.#count += 8;
    }
    const code = this.#pending & ((1 << width) - 1);
    this.#pending >>>= width;
    this.#count -= width;
    return code;
  }
}
