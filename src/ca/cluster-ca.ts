/**
 * The CA as part of a cluster: made at `swarm init`, opened again at each start of a manager, its join
 * tokens rotated on demand. Private keys are in the store's secret box and never leave this room.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import type { Clock } from "../base/clock.ts";
import { millisecondsOf } from "../base/duration.ts";
import { SystemError } from "../base/errors.ts";
import type { ClusterID, NodeID } from "../base/ids.ts";
import type { Cluster, NodeRole } from "../cluster/objects.ts";
import type { Snapshot, Store } from "../cluster/store.ts";
import { newKeyAndRequest } from "./certificate-request.ts";
import { newJoinToken } from "./join-token.ts";
import { NodeCertificates } from "./node-certificates.ts";
import { createRootCA, NODE_VALIDITY_MS_MIN, RootCA } from "./root-ca.ts";

/** Where in the store's secret box the CA's private key is; in a rotation those of both roots, one after the other. */
const CA_KEY_SECRET = "ca-key";
const PRIVATE_KEY = /-----BEGIN ([A-Z ]*PRIVATE KEY)-----[^]+?-----END \1-----\n?/g;

/** What a new cluster's CA gives to the cluster object. */
export interface NewClusterCA {
  readonly rootCA: RootCA;
  readonly joinTokens: Cluster["joinTokens"];
}

/** Makes a cluster's CA and its first join tokens; the key is durable in the store's secrets when this resolves. */
export async function createClusterCA(store: Store, clock: Clock): Promise<NewClusterCA> {
  const material = await createRootCA(clock.now());
  await store.secrets.set(CA_KEY_SECRET, material.key);
  return { rootCA: new RootCA(material), joinTokens: newJoinTokens(material.certificate) };
}

/** Tokens for the cluster with this root certificate, both fresh. */
export function newJoinTokens(rootCertificate: string): Cluster["joinTokens"] {
  return { worker: newJoinToken(rootCertificate), manager: newJoinToken(rootCertificate) };
}

/** The CA that signs in the cluster of this store: in a rotation, the next root. */
export function openClusterCA(store: Store): RootCA {
  const { rootCACertificate, rootRotation } = theCluster(store.view());
  if (rootRotation === undefined) return openRoot(store, rootCACertificate);
  return openRoot(store, rootRotation.certificate, rootRotation.crossSigned);
}

/** The authority with this certificate, of those whose keys the store has. */
export function openRoot(store: Store, certificate: string, intermediate = ""): RootCA {
  const key = keysIn(store).find((each) => isKeyOf(each, certificate));
  if (key === undefined) {
    throw new SystemError("the store has a cluster but not its CA's private key: restore a backup");
  }
  return new RootCA({ certificate, key }, intermediate);
}

/** Keeps a key beside those that are there, durably. */
export async function addCAKey(store: Store, key: string): Promise<void> {
  const keys = [...new Set([...keysIn(store), key])];
  await store.secrets.set(CA_KEY_SECRET, keys.join(""));
}

/** Forgets every key that belongs to none of the cluster's roots. */
export async function forgetOldCAKeys(store: Store): Promise<void> {
  const roots = rootsOf(theCluster(store.view()));
  const keys = keysIn(store);
  if (keys.length <= roots.length) return;
  const kept = keys.filter((key) => roots.some((root) => isKeyOf(key, root)));
  if (kept.length > 0) await store.secrets.set(CA_KEY_SECRET, kept.join(""));
}

function keysIn(store: Store): readonly string[] {
  return (store.secrets.get(CA_KEY_SECRET) ?? "").match(PRIVATE_KEY) ?? [];
}

function isKeyOf(key: string, certificate: string): boolean {
  return new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key));
}

/** The certificates of the authorities that members are to trust: in a rotation both. */
export function rootsOf({ rootCACertificate, rootRotation }: Cluster): readonly string[] {
  return rootRotation === undefined
    ? [rootCACertificate]
    : [rootCACertificate, rootRotation.certificate];
}

/** The certificate of the authority that members' certificates are to come from. */
export function issuingRootOf({ rootCACertificate, rootRotation }: Cluster): string {
  return rootRotation?.certificate ?? rootCACertificate;
}

/** The first manager's own certificate; every other node asks for its own by join token. */
export async function createManagerCertificates(init: {
  readonly rootCA: RootCA;
  readonly nodeID: NodeID;
  readonly clusterID: ClusterID;
  readonly directory: string;
  readonly validityMs: number;
  readonly clock: Clock;
}): Promise<NodeCertificates> {
  const { key, request } = newKeyAndRequest();
  const certificate = await init.rootCA.issue({
    request,
    identity: { nodeID: init.nodeID, clusterID: init.clusterID, role: "manager" },
    validityMs: init.validityMs,
    now: init.clock.now(),
  });
  const rootCertificate = init.rootCA.certificate;
  return await NodeCertificates.create(init.directory, { key, certificate, rootCertificate });
}

/**
 * A manager whose certificate is not valid now is refused by everybody, itself included, and can ask nobody for the
 * next one: but it has the CA's key. It was off until the certificate had expired, or its clock was wrong when it
 * gave itself this one. Resolves with whether that was so.
 */
export async function renewInvalidManager(
  store: Store,
  certificates: NodeCertificates,
  clock: Clock,
): Promise<boolean> {
  const { notBefore, notAfter } = certificates.validity;
  if (notBefore <= clock.now() && clock.now() < notAfter) return false;
  const { key, request } = newKeyAndRequest();
  const certificate = await openClusterCA(store).issue({
    request,
    identity: certificates.identity,
    validityMs: nodeValidityMs(theCluster(store.view())),
    now: clock.now(),
  });
  await certificates.renew(key, certificate);
  certificates.trust(rootsOf(theCluster(store.view())).join(""));
  return true;
}

/** Makes the role's old join token worthless. */
export async function rotateJoinToken(store: Store, role: NodeRole): Promise<void> {
  await store.update((tx) => {
    const cluster = theCluster(tx);
    const token = newJoinToken(cluster.rootCACertificate);
    tx.put("cluster", { ...cluster, joinTokens: { ...cluster.joinTokens, [role]: token } });
  });
}

/** How long nodes' certificates of this cluster are valid. */
export function nodeValidityMs(cluster: Cluster): number {
  return Math.max(millisecondsOf(cluster.spec.caConfig.nodeCertExpiry), NODE_VALIDITY_MS_MIN);
}

export function theCluster(snapshot: Snapshot): Cluster {
  const [cluster] = snapshot.list("cluster");
  if (cluster === undefined) throw new SystemError("the store has no cluster");
  return cluster;
}
