/**
 * The cluster's trust root as Docker's JSON shows it. The subject is read out of the certificate by hand, as
 * Node.js gives it only as text, and the library that managers sign with would be in every worker's memory.
 */
import { X509Certificate } from "node:crypto";
import { assert } from "../../base/assert.ts";

export interface TlsInfo {
  readonly TrustRoot?: string;
  readonly CertIssuerSubject?: string;
  readonly CertIssuerPublicKey?: string;
}

const cached = { certificate: "", info: {} as TlsInfo };

/** The trust root of nodes and of the cluster, in PEM; empty where there is none. */
export function encodeTlsInfo(rootCertificate: string): TlsInfo {
  if (rootCertificate === "") return {};
  // Every node of a list shows the same one.
  if (cached.certificate !== rootCertificate) {
    const { raw, publicKey } = new X509Certificate(rootCertificate);
    cached.info = {
      TrustRoot: rootCertificate,
      CertIssuerSubject: subjectOf(raw).toString("base64"),
      CertIssuerPublicKey: publicKey.export({ type: "spki", format: "der" }).toString("base64"),
    };
    cached.certificate = rootCertificate;
  }
  return cached.info;
}

/** Before the subject: version, serial number, algorithm, issuer, validity (RFC 5280 §4.1). */
const FIELDS_BEFORE_SUBJECT = 5;

/** The subject's name in DER, as it stands in a certificate that a parser has taken. */
function subjectOf(certificate: Buffer): Buffer {
  let rest = contentOf(contentOf(certificate));
  for (let field = 0; field < FIELDS_BEFORE_SUBJECT; field++)
    rest = rest.subarray(sizesOf(rest).whole);
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
