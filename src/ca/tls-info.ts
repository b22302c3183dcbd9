/**
 * Whom a node trusts and who signed its certificate, as nodes tell it and Docker's JSON shows it. Subjects are
 * read out of the certificates by hand, as Node.js gives them only as text, and the library that managers sign
 * with would be in every worker's memory.
 */
import { X509Certificate } from "node:crypto";
import { assert } from "../base/assert.ts";
import type { TLSInfo } from "../cluster/objects.ts";
import { certificatesIn } from "./pem.ts";

/** Who a certificate authority is: its name and its key, both in DER as base64. */
export type Issuer = Pick<TLSInfo, "certIssuerSubject" | "certIssuerPublicKey">;

/** The authority whose certificate (PEM) this is. */
export function issuerOf(authority: string): Issuer {
  const { raw, publicKey } = new X509Certificate(authority);
  return {
    certIssuerSubject: nameIn(raw, FIELDS_BEFORE_SUBJECT).toString("base64"),
    certIssuerPublicKey: publicKey.export({ type: "spki", format: "der" }).toString("base64"),
  };
}

export function isSameIssuer(a: Issuer, b: Issuer): boolean {
  return (
    a.certIssuerSubject === b.certIssuerSubject && a.certIssuerPublicKey === b.certIssuerPublicKey
  );
}

/**
 * What a node with these says of itself. Its certificate may be followed by others, up to one that a root signed;
 * whoever's key signed it is its issuer, and "" stands for the key of an issuer that is none of them.
 */
export function tlsInfoOf(certificateChain: string, trustRoot: string): TLSInfo {
  const [first = "", ...others] = certificatesIn(certificateChain);
  const certificate = new X509Certificate(first);
  const signer = [...certificatesIn(trustRoot), ...others].find((authority) =>
    certificate.verify(new X509Certificate(authority).publicKey),
  );
  return {
    trustRoot,
    certIssuerSubject: nameIn(certificate.raw, FIELDS_BEFORE_ISSUER).toString("base64"),
    certIssuerPublicKey: signer === undefined ? "" : issuerOf(signer).certIssuerPublicKey,
  };
}

/** Before the issuer: version, serial number, algorithm; before the subject also issuer and validity (RFC 5280 §4.1). */
const FIELDS_BEFORE_ISSUER = 3;
const FIELDS_BEFORE_SUBJECT = 5;

/** A name in DER, as it stands in a certificate that a parser has taken. */
function nameIn(certificate: Buffer, fieldsBefore: number): Buffer {
  let rest = contentOf(contentOf(certificate));
  for (let field = 0; field < fieldsBefore; field++) rest = rest.subarray(sizesOf(rest).whole);
  return rest.subarray(0, sizesOf(rest).whole);
}

function contentOf(value: Buffer): Buffer {
  const { header, whole } = sizesOf(value);
  return value.subarray(header, whole);
}

const LONG_FORM = 0x80;

/** Of the DER value at the start: bytes of tag and length, and of all of it. */
function sizesOf(value: Buffer): { readonly header: number; readonly whole: number } {
  const first = value.readUInt8(1);
  if (first < LONG_FORM) return { header: 2, whole: 2 + first };
  const lengthBytes = first - LONG_FORM;
  const header = 2 + lengthBytes;
  const whole = header + value.readUIntBE(2, lengthBytes);
  assert(whole <= value.length, "a certificate ends before its own length");
  return { header, whole };
}
