/**
 * The joining node's side of PKCS#10 (RFC 2986): a key pair that never leaves the node and a signed
 * request for it. Written out here because it is five DER values, and the library that the managers
 * sign with would cost each worker 24 MB.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign } from "node:crypto";

export interface KeyAndRequest {
  /** PKCS#8, PEM. */
  readonly key: string;
  /** PKCS#10, PEM. */
  readonly request: string;
}

/** A new P-256 key and a request for it. The subject is empty: the CA decides who the node is. */
export function newKeyAndRequest(): KeyAndRequest {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const key = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  return { key, request: certificateRequest(key) };
}

/** A request for a key that is there. */
export function keyAndRequest(key: string): KeyAndRequest {
  return { key, request: certificateRequest(key) };
}

/** OID 1.2.840.10045.4.3.2, ecdsa-with-SHA256 (RFC 5758 §3.2), as an AlgorithmIdentifier. */
const ECDSA_WITH_SHA256 = Buffer.from("300a06082a8648ce3d040302", "hex");
const VERSION_1 = Buffer.from("020100", "hex");
const EMPTY_NAME = Buffer.from("3000", "hex");
const NO_ATTRIBUTES = Buffer.from("a000", "hex");
const TAG_SEQUENCE = 0x30;
const TAG_BIT_STRING = 0x03;

function certificateRequest(key: string): string {
  const privateKey = createPrivateKey(key);
  const publicKey = createPublicKey(privateKey).export({ type: "spki", format: "der" });
  const info = der(TAG_SEQUENCE, VERSION_1, EMPTY_NAME, publicKey, NO_ATTRIBUTES);
  const signature = sign("sha256", info, privateKey);
  const unusedBits = Buffer.from([0]);
  return pem(
    "CERTIFICATE REQUEST",
    der(TAG_SEQUENCE, info, ECDSA_WITH_SHA256, der(TAG_BIT_STRING, unusedBits, signature)),
  );
}

/** One DER value. Lengths here stay below 64 KiB. */
function der(tag: number, ...contents: readonly Buffer[]): Buffer {
  const body = Buffer.concat(contents);
  const length =
    body.length < 0x80
      ? [body.length]
      : body.length < 0x100
        ? [0x81, body.length]
        : [0x82, body.length >> 8, body.length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
}

function pem(label: string, bytes: Buffer): string {
  const lines = bytes.toString("base64").match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ""].join("\n");
}
