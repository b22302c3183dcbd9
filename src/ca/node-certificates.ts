/**
 * What a node proves itself with: its key, its certificate and the root that it trusts, as files in
 * `<data-dir>/certificates`, named as Docker names them. The only writer of these files.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { InvalidParameterError, SystemError } from "../base/errors.ts";
import { writeFileAtomic } from "../base/files.ts";
import type { TLSInfo } from "../cluster/objects.ts";
import { identityOfCertificate, type NodeIdentity } from "./identity.ts";
import { certificatesIn } from "./pem.ts";
import { tlsInfoOf } from "./tls-info.ts";

const ROOT_FILE = "swarm-root-ca.crt";
const CERTIFICATE_FILE = "swarm-node.crt";
const KEY_FILE = "swarm-node.key";
/** A renewed key between the certificate's rename and its own: what a crash there leaves is completed by `load`. */
const NEXT_KEY_FILE = "swarm-node.key.next";

export interface CertificateMaterial {
  /** PKCS#8, PEM. */
  readonly key: string;
  /** PEM; in a rotation followed by the next root as the old one signed it. */
  readonly certificate: string;
  /** PEM, one root after the other. */
  readonly rootCertificate: string;
}

/** The node's certificates as they are now; whoever listens is told when others have taken their place. */
export class NodeCertificates {
  readonly directory: string;
  readonly #listeners = new Set<() => void>();
  #material: CertificateMaterial;
  #identity: NodeIdentity;
  #validity: { readonly notBefore: number; readonly notAfter: number };
  #tlsInfo: TLSInfo;

  private constructor(directory: string, material: CertificateMaterial) {
    this.directory = directory;
    this.#material = material;
    this.#identity = checkedIdentity(directory, material);
    this.#validity = validityOf(material.certificate);
    this.#tlsInfo = tlsInfoOf(material.certificate, material.rootCertificate);
  }

  /** What is on disk; undefined when this node is in no cluster. */
  static load(directory: string): NodeCertificates | undefined {
    const read = (file: string) => readFileSync(join(directory, file), "utf8");
    if (![ROOT_FILE, CERTIFICATE_FILE].every((file) => existsSync(join(directory, file)))) {
      return undefined;
    }
    completeRenewal(directory);
    return new NodeCertificates(directory, {
      key: read(KEY_FILE),
      certificate: read(CERTIFICATE_FILE),
      rootCertificate: read(ROOT_FILE),
    });
  }

  /** Writes a new node's material; resolves when it is durable. */
  static async create(directory: string, material: CertificateMaterial): Promise<NodeCertificates> {
    checkedIdentity(directory, material);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    writeFileAtomic(join(directory, KEY_FILE), material.key, 0o600);
    writeFileAtomic(join(directory, ROOT_FILE), material.rootCertificate, 0o644);
    // Last: `load` takes a directory without it for no node's.
    writeFileAtomic(join(directory, CERTIFICATE_FILE), material.certificate, 0o644);
    return new NodeCertificates(directory, material);
  }

  /** Takes every trace off the disk: the node has left. */
  static remove(directory: string): void {
    for (const file of [CERTIFICATE_FILE, ROOT_FILE, KEY_FILE, NEXT_KEY_FILE]) {
      rmSync(join(directory, file), { force: true });
    }
  }

  get material(): CertificateMaterial {
    return this.#material;
  }
  get identity(): NodeIdentity {
    return this.#identity;
  }
  /** Milliseconds since the epoch. */
  get validity(): { readonly notBefore: number; readonly notAfter: number } {
    return this.#validity;
  }

  /** Replaces key and certificate; whatever the moment of a crash, `load` finds a pair that belongs together. */
  async renew(key: string, certificate: string): Promise<void> {
    const material = { ...this.#material, key, certificate };
    const identity = checkedIdentity(this.directory, material);
    const tlsInfo = tlsInfoOf(certificate, material.rootCertificate);
    writeFileAtomic(join(this.directory, NEXT_KEY_FILE), key, 0o600);
    writeFileAtomic(join(this.directory, CERTIFICATE_FILE), certificate, 0o644);
    completeRenewal(this.directory);
    this.#material = material;
    this.#identity = identity;
    this.#validity = validityOf(certificate);
    this.#tlsInfo = tlsInfo;
    for (const listener of this.#listeners) listener();
  }

  /** These roots (PEM, one after the other) and no others are trusted from now on, and after a restart. */
  trust(roots: string): void {
    if (roots === this.#material.rootCertificate) return;
    if (certificatesIn(roots).length === 0) {
      throw new InvalidParameterError("a node cannot trust nobody: no certificate was given");
    }
    const tlsInfo = tlsInfoOf(this.#material.certificate, roots);
    writeFileAtomic(join(this.directory, ROOT_FILE), roots, 0o644);
    this.#material = { ...this.#material, rootCertificate: roots };
    this.#tlsInfo = tlsInfo;
    for (const listener of this.#listeners) listener();
  }

  /** What this node says of its certificates. */
  get tlsInfo(): TLSInfo {
    return this.#tlsInfo;
  }

  /** Calls `listener` after each renewal, and when others are trusted. Returns the unsubscribe function. */
  onChanged(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}

/** What whoever runs the node has to know and to do while its certificate is not valid; empty while it is. */
export function invalidityMessage(
  { identity, validity }: Pick<NodeCertificates, "identity" | "validity">,
  now: number,
): string {
  if (now < validity.notBefore) {
    const from = new Date(validity.notBefore).toISOString();
    return (
      `the certificate of this node is not valid before ${from}: this host's clock is wrong, or a manager's was when it signed; ` +
      `set this host's clock, or run "docker swarm leave" here and "docker node rm ${identity.nodeID}" on a manager, then join again`
    );
  }
  if (now < validity.notAfter) return "";
  const since = new Date(validity.notAfter).toISOString();
  return (
    `the certificate of this node expired at ${since}, while it was off or without a manager, and no manager takes it back with that: ` +
    `run "docker swarm leave" here and "docker node rm ${identity.nodeID}" on a manager, then join again ` +
    "(if the date is wrong, set this host's clock)"
  );
}

/** Puts a renewed key in place when it is the certificate's; drops it when the certificate is still the old one. */
function completeRenewal(directory: string): void {
  const next = join(directory, NEXT_KEY_FILE);
  if (!existsSync(next)) return;
  const certificate = readFileSync(join(directory, CERTIFICATE_FILE), "utf8");
  if (belongsTogether(readFileSync(next, "utf8"), certificate)) {
    renameSync(next, join(directory, KEY_FILE));
  } else {
    rmSync(next);
  }
}

function checkedIdentity(directory: string, material: CertificateMaterial): NodeIdentity {
  const identity = identityOfCertificate(material.certificate);
  if (identity === undefined) {
    throw new SystemError(`the certificate in ${directory} is no node's: leave and join again`);
  }
  if (!belongsTogether(material.key, material.certificate)) {
    throw new SystemError(
      `key and certificate in ${directory} do not belong together: leave and join again`,
    );
  }
  return identity;
}

function belongsTogether(key: string, certificate: string): boolean {
  try {
    return new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key));
  } catch {
    // A torn or foreign file: no pair, which is all that is asked here.
    return false;
  }
}

function validityOf(certificate: string) {
  const parsed = new X509Certificate(certificate);
  return { notBefore: Date.parse(parsed.validFrom), notAfter: Date.parse(parsed.validTo) };
}
