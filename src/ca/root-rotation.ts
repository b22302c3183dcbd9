/**
 * The cluster's root certificate is exchanged for another while everything goes on. The next root is signed by the
 * present one too, and all that is issued meanwhile carries that signature: whoever trusts either root believes
 * every member. Nodes are told to trust both and to renew; once each has, the old root and its key are forgotten
 * and the join tokens, which name the root, are new.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import type { Clock } from "../base/clock.ts";
import { InvalidParameterError, messageOf } from "../base/errors.ts";
import { Reconciler, type Startable } from "../base/lifecycle.ts";
import type { Logger } from "../base/logger.ts";
import type { Cluster, Node, RootRotation } from "../cluster/objects.ts";
import type { Store } from "../cluster/store.ts";
import { addCAKey, forgetOldCAKeys, newJoinTokens, openRoot, theCluster } from "./cluster-ca.ts";
import { certificatesIn } from "./pem.ts";
import { createRootCA, type RootCAMaterial } from "./root-ca.ts";
import { importParameters } from "./signing-key.ts";
import { type Issuer, isSameIssuer, issuerOf } from "./tls-info.ts";

/** A user's own root must be good for longer than this; every rotation to the next one takes attention. */
const OWN_ROOT_VALIDITY_MS_MIN = 365 * 86_400_000;

/** What `swarm ca --rotate` asks for; certificate and key are empty where the cluster is to make its own. */
export interface RootChange {
  /** Another number than the cluster's own asks for another root. */
  readonly forceRotate: number;
  /** PEM. */
  readonly signingCACert: string;
  readonly signingCAKey: string;
}

/** The rotation that a change of the root leaves the cluster in, or none. */
export type RotationPlan = Pick<Cluster, "rootRotation">;

/** What the change makes of the cluster as it stands. The new key is durable when this resolves. */
async function planRotation(store: Store, clock: Clock, change: RootChange): Promise<RotationPlan> {
  const cluster = theCluster(store.view());
  const { rootRotation } = cluster;
  const unchanged = rootRotation === undefined ? {} : { rootRotation };
  if (change.signingCACert !== "" || change.signingCAKey !== "") {
    const material = ownRoot(change, clock.now());
    // Back to where it came from: the rotation is called off.
    if (material.certificate === cluster.rootCACertificate) return {};
    if (material.certificate === rootRotation?.certificate) return unchanged;
    refuseSameKey(material, cluster);
    return { rootRotation: await rotationTo(material, cluster, store, clock) };
  }
  if (change.forceRotate === (cluster.spec.caConfig.forceRotate ?? 0)) return unchanged;
  const material = await createRootCA(clock.now());
  return { rootRotation: await rotationTo(material, cluster, store, clock) };
}

async function rotationTo(
  { certificate, key }: RootCAMaterial,
  { rootCACertificate }: Cluster,
  store: Store,
  clock: Clock,
): Promise<RootRotation> {
  // By the present root even in the midst of a rotation: it is the one that all members trust.
  const crossSigned = await openRoot(store, rootCACertificate).crossSign(certificate, clock.now());
  await addCAKey(store, key);
  return { certificate, crossSigned };
}

/** A user's own root, once it is sure that it will do. */
function ownRoot({ signingCACert, signingCAKey }: RootChange, now: number): RootCAMaterial {
  if (signingCACert === "") {
    throw invalid("if a signing CA key is provided, the signing CA cert must also be provided");
  }
  const [certificate, ...others] = certificatesIn(signingCACert.replaceAll("\r\n", "\n"));
  if (certificate === undefined) {
    throw invalid(
      `invalid root certificates: {"code":1003,"message":"Failed to parse certificate"}`,
    );
  }
  if (others.length > 0) {
    throw invalid("the desired CA certificate cannot contain multiple certificates");
  }
  const root = parsed(certificate);
  if (!root.ca) throw invalid("the desired CA certificate is no certificate authority's");
  if (Date.parse(root.validTo) < now + OWN_ROOT_VALIDITY_MS_MIN) {
    throw invalid("CA certificate expires too soon");
  }
  if (signingCAKey === "") {
    throw invalid(
      "there must be at least one valid, reachable external CA corresponding to the desired CA certificate",
    );
  }
  const key = ownKey(signingCAKey);
  if (!root.checkPrivateKey(key)) throw invalid("certificate key mismatch");
  return { certificate, key: key.export({ format: "pem", type: "pkcs8" }).toString() };
}

function ownKey(pem: string): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (cause) {
    throw invalid("malformed private key", cause);
  }
  try {
    importParameters(key);
    return key;
  } catch (cause) {
    throw invalid(messageOf(cause), cause);
  }
}

function parsed(certificate: string): X509Certificate {
  try {
    const root = new X509Certificate(certificate);
    if (root.verify(root.publicKey)) return root;
  } catch (cause) {
    throw invalid("could not parse the desired CA certificate", cause);
  }
  throw invalid("the desired CA certificate is not signed by itself");
}

/** Between two roots with one key no chain can be told from the other. */
function refuseSameKey({ certificate }: RootCAMaterial, { rootCACertificate }: Cluster): void {
  const [next, present] = [issuerOf(certificate), issuerOf(rootCACertificate)];
  if (next.certIssuerPublicKey !== present.certIssuerPublicKey) return;
  throw invalid("Cannot update to a cert with an identical key");
}

function invalid(why: string, cause?: unknown): InvalidParameterError {
  return new InvalidParameterError(`rpc error: code = InvalidArgument desc = ${why}`, { cause });
}

export interface RootRotatorComponents {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Begins rotations, and ends each when every node has turned to the new root; a node that is away is waited for. */
export class RootRotator implements Startable {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #reconciler: Reconciler;
  /** One at a time: a key that was just made belongs to no root until its plan is written. */
  #turn: Promise<unknown> = Promise.resolve();
  #unsubscribe: (() => void) | undefined;

  constructor(components: RootRotatorComponents) {
    const { store, clock, log } = components;
    this.#store = store;
    this.#clock = clock;
    this.#log = log;
    this.#reconciler = new Reconciler({
      pass: () => this.#exclusively(() => this.#pass()),
      onError: (error) => log.error("the root's rotation does not go on", { error }),
    });
  }

  start(): void {
    this.#unsubscribe = this.#store.subscribe(({ changes }) => {
      const isConcerned = changes.some(({ kind }) => kind === "node" || kind === "cluster");
      if (isConcerned) this.#reconciler.markDirty();
    });
    this.#reconciler.markDirty();
  }

  async stop(): Promise<void> {
    this.#unsubscribe?.();
    await this.#reconciler.stop();
    await this.#turn;
  }

  /** Hands `write` what the change makes of the cluster; it has to see to it that the cluster is the one that was there before. */
  change(asked: RootChange, write: (plan: RotationPlan) => Promise<void>): Promise<void> {
    return this.#exclusively(async () => {
      await write(await planRotation(this.#store, this.#clock, asked));
    });
  }

  async #pass(): Promise<void> {
    const before = theCluster(this.#store.view()).rootRotation;
    if (before !== undefined) {
      const isOver = await this.#store.update((tx) => {
        const { rootRotation, ...cluster } = theCluster(tx);
        if (rootRotation === undefined) return false;
        const rootCACertificate = rootRotation.certificate;
        const issuer = issuerOf(rootCACertificate);
        const isTurned = (node: Node) => hasTurned(node, rootCACertificate, issuer);
        if (!tx.list("node").every(isTurned)) return false;
        const joinTokens = newJoinTokens(rootCACertificate);
        tx.put("cluster", { ...cluster, rootCACertificate, joinTokens });
        return true;
      });
      if (isOver) this.#log.info("every node has a certificate of the new root", {});
    }
    // Also what a change that came to nothing has left.
    await forgetOldCAKeys(this.#store);
  }

  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
  }
}

/** Its certificate comes from the new root, and it would believe one who shows nothing else. */
function hasTurned({ description }: Node, certificate: string, issuer: Issuer): boolean {
  const tlsInfo = description?.tlsInfo;
  if (tlsInfo === undefined || !isSameIssuer(tlsInfo, issuer)) return false;
  return certificatesIn(tlsInfo.trustRoot).includes(certificate);
}
