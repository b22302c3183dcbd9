/**
 * The cluster's root CA, as Docker makes it (read off dockerd 20.10): CN=swarm-ca, P-256, 20 years; a user's own
 * may be another. Only managers load this file; the signing library is imported when first needed.
 */
import { createPrivateKey, randomBytes, webcrypto, X509Certificate } from "node:crypto";
import { InvalidParameterError } from "../base/errors.ts";
import { CA_SERVER_NAME, type NodeIdentity, organizationalUnit } from "./identity.ts";
import { importParameters, signingKey } from "./signing-key.ts";

const ROOT_COMMON_NAME = CA_SERVER_NAME;
const MS_PER_DAY = 86_400_000;
const ROOT_VALIDITY_MS = 7_300 * MS_PER_DAY;
/** Certificates begin this long ago, so that a node whose clock is behind can use its own. */
const BACKDATE_MS = 3_600_000;
/** Docker's minimum for `--cert-expiry`; a shorter one would be renewed without pause. */
export const NODE_VALIDITY_MS_MIN = 3_600_000;
/** A request for a P-256 key is 300 bytes; anything near this is no such request. */
const REQUEST_LENGTH_MAX = 8_192;
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

/** What a cluster's root is made of. The key goes into the store's secret box and nowhere else. */
export interface RootCAMaterial {
  /** PEM. */
  readonly certificate: string;
  /** PKCS#8, PEM. */
  readonly key: string;
}

export interface IssueInit {
  /** PKCS#10, PEM. */
  readonly request: string;
  readonly identity: NodeIdentity;
  readonly validityMs: number;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

export async function createRootCA(now: number): Promise<RootCAMaterial> {
  const x509 = await loadX509();
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerialNumber(),
    name: `CN=${ROOT_COMMON_NAME}`,
    notBefore: new Date(now - BACKDATE_MS),
    notAfter: new Date(now - BACKDATE_MS + ROOT_VALIDITY_MS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
        true,
      ),
      new x509.BasicConstraintsExtension(true, undefined, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  const key = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey));
  return {
    certificate: `${certificate.toString("pem")}\n`,
    key: createPrivateKey({ key, format: "der", type: "pkcs8" })
      .export({ format: "pem", type: "pkcs8" })
      .toString(),
  };
}

/** Signs nodes' certificates. */
export class RootCA {
  readonly certificate: string;
  readonly #key: string;
  readonly #intermediate: string;

  /** With an intermediate (PEM), what is issued is followed by it, for nodes that trust only whoever signed that. */
  constructor(material: RootCAMaterial, intermediate = "") {
    const key = createPrivateKey(material.key);
    if (!new X509Certificate(material.certificate).checkPrivateKey(key)) {
      throw new InvalidParameterError("the CA's private key does not belong to its certificate");
    }
    importParameters(key);
    this.certificate = material.certificate;
    this.#key = material.key;
    this.#intermediate = intermediate;
  }

  /**
   * A certificate for the key in the request. Nothing else of the request is believed: who the node is,
   * what it may do and for how long is `identity` and `validityMs`.
   */
  async issue(init: IssueInit): Promise<string> {
    const x509 = await loadX509();
    const root = new x509.X509Certificate(this.certificate);
    const publicKey = await publicKeyOfRequest(init.request);
    const notAfter = Math.min(init.now + init.validityMs, root.notAfter.getTime());
    const { nodeID, clusterID, role } = init.identity;
    const unit = organizationalUnit(role);
    const names = role === "manager" ? [unit, nodeID, CA_SERVER_NAME] : [unit, nodeID];
    const { key, algorithm } = await signingKey(this.#key);
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: newSerialNumber(),
      subject: `O=${clusterID}, OU=${unit}, CN=${nodeID}`,
      issuer: root.subjectName,
      notBefore: new Date(init.now - BACKDATE_MS),
      notAfter: new Date(notAfter),
      signingAlgorithm: algorithm,
      publicKey,
      signingKey: key,
      extensions: [
        new x509.KeyUsagesExtension(
          x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment,
          true,
        ),
        new x509.ExtendedKeyUsageExtension([
          x509.ExtendedKeyUsage.serverAuth,
          x509.ExtendedKeyUsage.clientAuth,
        ]),
        new x509.BasicConstraintsExtension(false, undefined, true),
        await x509.SubjectKeyIdentifierExtension.create(publicKey),
        await this.#authorityKeyIdentifier(),
        new x509.SubjectAlternativeNameExtension(
          names.map((value) => ({ type: "dns" as const, value })),
        ),
      ],
    });
    return `${certificate.toString("pem")}\n${this.#intermediate}`;
  }

  /** Another authority's name and key under this one's signature: whoever trusts this one trusts what the other signs. */
  async crossSign(other: string, now: number): Promise<string> {
    const x509 = await loadX509();
    const root = new x509.X509Certificate(this.certificate);
    const authority = new x509.X509Certificate(other);
    const { key, algorithm } = await signingKey(this.#key);
    const identifier = authority.getExtension(x509.SubjectKeyIdentifierExtension);
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: newSerialNumber(),
      subject: authority.subjectName,
      issuer: root.subjectName,
      notBefore: new Date(now - BACKDATE_MS),
      notAfter: new Date(Math.min(root.notAfter.getTime(), authority.notAfter.getTime())),
      signingAlgorithm: algorithm,
      publicKey: authority.publicKey,
      signingKey: key,
      extensions: [
        new x509.KeyUsagesExtension(
          x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
          true,
        ),
        new x509.BasicConstraintsExtension(true, undefined, true),
        identifier ?? (await x509.SubjectKeyIdentifierExtension.create(authority.publicKey)),
        await this.#authorityKeyIdentifier(),
      ],
    });
    return `${certificate.toString("pem")}\n`;
  }

  /** As the root itself gives its key's identifier: a user's own root may have made it in another way. */
  async #authorityKeyIdentifier() {
    const x509 = await loadX509();
    const root = new x509.X509Certificate(this.certificate);
    const own = root.getExtension(x509.SubjectKeyIdentifierExtension);
    return own === null
      ? await x509.AuthorityKeyIdentifierExtension.create(root.publicKey)
      : new x509.AuthorityKeyIdentifierExtension(own.keyId);
  }
}

/** The public key in a request, in DER; its asker has shown that it has the private half. */
export async function requestedKey(request: string): Promise<Buffer> {
  const key = await publicKeyOfRequest(request);
  return Buffer.from(await webcrypto.subtle.exportKey("spki", key));
}

/** The key of a request whose signature shows that the asker has its private half. */
async function publicKeyOfRequest(request: string): Promise<webcrypto.CryptoKey> {
  const x509 = await loadX509();
  if (request.length > REQUEST_LENGTH_MAX) throw invalidRequest("it is too long");
  try {
    const parsed = new x509.Pkcs10CertificateRequest(request);
    const key = await parsed.publicKey.export(ALGORITHM, ["verify"]);
    if (await parsed.verify()) return key;
  } catch (cause) {
    throw invalidRequest("it is no PKCS#10 request for a P-256 key", cause);
  }
  throw invalidRequest("its signature is wrong");
}

function invalidRequest(why: string, cause?: unknown): InvalidParameterError {
  return new InvalidParameterError(`certificate request refused: ${why}`, { cause });
}

/** 20 bytes as RFC 5280 §4.1.2.2 allows, positive, never beginning with a zero. */
function newSerialNumber(): string {
  const bytes = randomBytes(20);
  bytes.writeUInt8((bytes.readUInt8(0) & 0x7f) | 0x40, 0);
  return bytes.toString("hex");
}

async function loadX509() {
  // The library's container of algorithms needs the metadata API to be there before it loads.
  await import("reflect-metadata");
  return await import("@peculiar/x509");
}
