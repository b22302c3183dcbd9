/**
 * Join tokens in Docker's format (swarmkit ca/config.go): the digest lets a joining node know the right
 * cluster before it says anything, the secret lets the cluster know whom it invited, and as what.
 *
 *     SWMTKN-1-<SHA-256 of the root certificate's PEM bytes, base36, 50>-<16 random bytes, base36, 25>
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { InvalidParameterError } from "../base/errors.ts";

const TOKEN_PREFIX = "SWMTKN";
const TOKEN_VERSION = "1";
const BASE = 36;
const DIGEST_BYTES = 32;
const DIGEST_LENGTH = 50;
const SECRET_BYTES = 16;
const SECRET_LENGTH = 25;

export interface JoinToken {
  /** Hexadecimal SHA-256 of the root certificate's PEM bytes. */
  readonly digest: string;
  readonly secret: string;
}

/** A fresh token for the cluster with this root certificate (PEM). */
export function newJoinToken(rootCertificate: string): string {
  const secret = base36(randomBytes(SECRET_BYTES), SECRET_LENGTH);
  return formatJoinToken({ digest: rootDigest(rootCertificate), secret });
}

/** What a joining node compares the root certificate with. Over the PEM bytes, not the DER, as Docker has it. */
export function rootDigest(rootCertificate: string): string {
  return createHash("sha256").update(rootCertificate).digest("hex");
}

export function formatJoinToken(token: JoinToken): string {
  const digest = base36(Buffer.from(token.digest, "hex"), DIGEST_LENGTH);
  return [TOKEN_PREFIX, TOKEN_VERSION, digest, token.secret].join("-");
}

export function parseJoinToken(text: string): JoinToken {
  const [prefix, version, digest = "", secret = "", ...rest] = text.split("-");
  const wellFormed =
    prefix === TOKEN_PREFIX &&
    version === TOKEN_VERSION &&
    rest.length === 0 &&
    isBase36(digest, DIGEST_LENGTH) &&
    isBase36(secret, SECRET_LENGTH);
  const value = wellFormed ? valueOf(digest) : undefined;
  if (value === undefined || value >= 1n << BigInt(DIGEST_BYTES * 8)) {
    throw new InvalidParameterError("invalid join token");
  }
  return { digest: value.toString(16).padStart(DIGEST_BYTES * 2, "0"), secret };
}

/** Whether a presented token is this one, in a time that says nothing about where they differ. */
export function isSameToken(presented: string, expected: string): boolean {
  const hash = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(hash(presented), hash(expected));
}

function base36(bytes: Buffer, length: number): string {
  return BigInt(`0x${bytes.toString("hex")}`)
    .toString(BASE)
    .padStart(length, "0");
}

function isBase36(text: string, length: number): boolean {
  return text.length === length && /^[0-9a-z]+$/.test(text);
}

function valueOf(text: string): bigint {
  let value = 0n;
  for (const digit of text) value = value * BigInt(BASE) + BigInt(Number.parseInt(digit, BASE));
  return value;
}
