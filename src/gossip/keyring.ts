/**
 * The keys of the gossip: the first seals, all open, so that a key can be changed without a moment
 * in which two nodes don't hear each other: install the new one everywhere, use it, remove the old.
 */
import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  type KeyObject,
  randomBytes,
} from "node:crypto";
import { ConflictError, InvalidParameterError, NotFoundError } from "../base/errors.ts";
import { DecodeError } from "./msgpack.ts";

/** The cipher by the key's length in bytes. */
const CIPHERS = { 16: "aes-128-gcm", 24: "aes-192-gcm", 32: "aes-256-gcm" } as const;
/** In bytes. */
export const KEY_LENGTHS: readonly number[] = Object.keys(CIPHERS).map(Number);
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** The form that is sent; form 0 pads the plain text to blocks and is only read. */
const FORM_UNPADDED = 1;
const FORM_PADDED = 0;
const BLOCK_BYTES = 16;
/** What sealing adds. */
export const SEAL_BYTES = 1 + NONCE_BYTES + TAG_BYTES;
/** At the bound, installing a key drops the oldest that is not in use. */
export const KEYS_MAX = 3;

const NO_DATA = Buffer.alloc(0);

/** No installed key opens it: another cluster's, a key that is gone or not here yet, or no seal at all. */
export class SealError extends DecodeError {}

export class Keyring {
  /** The key in use first, then the others, the newest first. */
  #keys: readonly Buffer[];

  constructor(primary: Uint8Array, others: readonly Uint8Array[] = []) {
    this.#keys = [];
    this.install(primary);
    for (const key of [...others].reverse()) this.install(key);
  }

  get keys(): readonly Buffer[] {
    return this.#keys;
  }

  /** Adds a key that opens and does not seal yet; one that is there already stays where it is. */
  install(key: Uint8Array): void {
    if (!(key.length in CIPHERS)) {
      throw new InvalidParameterError(`a gossip key has 16, 24 or 32 bytes, not ${key.length}`);
    }
    const added = Buffer.from(key);
    if (this.#keys.some((each) => each.equals(added))) return;
    const [primary, ...others] = this.#keys;
    this.#keys = primary === undefined ? [added] : [primary, added, ...others].slice(0, KEYS_MAX);
  }

  /** From now on seals with this key, which must have been installed. */
  use(key: Uint8Array): void {
    const primary = this.#keys.find((each) => each.equals(key));
    if (primary === undefined) throw new NotFoundError("this gossip key is not installed");
    this.#keys = [primary, ...this.#keys.filter((each) => each !== primary)];
  }

  /** Becomes the ring of these keys, whichever of them were there; in no moment without any. */
  replace(primary: Uint8Array, others: readonly Uint8Array[]): void {
    this.#keys = new Keyring(primary, others).keys;
  }

  remove(key: Uint8Array): void {
    if (this.#keys[0]?.equals(key)) throw new ConflictError("this gossip key is in use");
    this.#keys = this.#keys.filter((each) => !each.equals(key));
  }

  /** Form, nonce, cipher text, tag. */
  seal(plain: Uint8Array, associated: Uint8Array = NO_DATA): Buffer {
    const nonce = randomBytes(NONCE_BYTES);
    const key = this.#primary();
    const cipher = createCipheriv(cipherOf(key), preparedOf(key), nonce);
    cipher.setAAD(associated);
    const body = [cipher.update(plain), cipher.final()];
    return Buffer.concat([Buffer.of(FORM_UNPADDED), nonce, ...body, cipher.getAuthTag()]);
  }

  /** Throws SealError when no key opens it. */
  open(sealed: Buffer, associated: Uint8Array = NO_DATA): Buffer {
    const [form] = sealed;
    if (sealed.length < SEAL_BYTES || (form !== FORM_UNPADDED && form !== FORM_PADDED)) {
      throw new SealError("not sealed with a gossip key");
    }
    for (const key of this.#keys) {
      const plain = openWith(key, sealed, associated);
      if (plain !== undefined) return form === FORM_PADDED ? unpadded(plain) : plain;
    }
    throw new SealError("no installed gossip key opens it");
  }

  #primary(): Buffer {
    const [primary] = this.#keys;
    if (primary === undefined) throw new NotFoundError("the gossip keyring is empty");
    return primary;
  }
}

function openWith(key: Buffer, sealed: Buffer, associated: Uint8Array): Buffer | undefined {
  const nonce = sealed.subarray(1, 1 + NONCE_BYTES);
  const end = sealed.length - TAG_BYTES;
  const cipher = createDecipheriv(cipherOf(key), preparedOf(key), nonce, {
    authTagLength: TAG_BYTES,
  });
  cipher.setAAD(associated);
  cipher.setAuthTag(sealed.subarray(end));
  const plain = cipher.update(sealed.subarray(1 + NONCE_BYTES, end));
  try {
    cipher.final();
    return plain;
  } catch {
    return undefined; // the tag is another key's
  }
}

/** Preparing a key takes longer than sealing a packet with it. */
const prepared = new WeakMap<Buffer, KeyObject>();

function preparedOf(key: Buffer): KeyObject {
  const known = prepared.get(key) ?? createSecretKey(key);
  prepared.set(key, known);
  return known;
}

function cipherOf(key: Buffer): (typeof CIPHERS)[keyof typeof CIPHERS] {
  return CIPHERS[key.length as keyof typeof CIPHERS];
}

/** PKCS #7: the last byte says how many there are of it. */
function unpadded(plain: Buffer): Buffer {
  const count = plain.at(-1) ?? 0;
  if (count === 0 || count > BLOCK_BYTES || count > plain.length) {
    throw new SealError("the padding is wrong");
  }
  return plain.subarray(0, plain.length - count);
}
