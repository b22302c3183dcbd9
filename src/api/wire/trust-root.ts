/** Whom cluster and nodes trust, and who signs there, as Docker's JSON shows it. */
import { type Issuer, issuerOf } from "../../ca/tls-info.ts";
import type { TLSInfo } from "../../cluster/objects.ts";

export interface TlsInfo {
  readonly TrustRoot?: string;
  readonly CertIssuerSubject?: string;
  readonly CertIssuerPublicKey?: string;
}

const cached = { certificate: "", issuer: undefined as Issuer | undefined };

/** The trust root of the cluster and who signs in it, both in PEM; of the same one unless its root is exchanged just now. */
export function encodeTlsInfo(rootCertificate: string, issuingRoot = rootCertificate): TlsInfo {
  if (rootCertificate === "") return {};
  if (cached.issuer === undefined || cached.certificate !== issuingRoot) {
    cached.issuer = issuerOf(issuingRoot);
    cached.certificate = issuingRoot;
  }
  return encodeNodeTlsInfo({ trustRoot: rootCertificate, ...cached.issuer });
}

/** What a node said of itself; nothing of one that has not said it. */
export function encodeNodeTlsInfo(info: TLSInfo | undefined): TlsInfo {
  if (info === undefined) return {};
  return {
    TrustRoot: info.trustRoot,
    CertIssuerSubject: info.certIssuerSubject,
    CertIssuerPublicKey: info.certIssuerPublicKey,
  };
}
