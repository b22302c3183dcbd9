/**
 * The CA as part of a cluster: made at `swarm init`, opened again at each start of a manager, its join
 * tokens rotated on demand. The private key is in the store's secret box and never leaves this room.
 */
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

/** The name of the CA's private key in the store's secret box. */
export const CA_KEY_SECRET = "ca-key";

/** What a new cluster's CA gives to the cluster object. */
export interface NewClusterCA {
  readonly rootCA: RootCA;
  readonly joinTokens: Cluster["joinTokens"];
}

/** Makes a cluster's CA and its first join tokens; the key is durable in the store's secrets when this resolves. */
export async function createClusterCA(store: Store, clock: Clock): Promise<NewClusterCA> {
  const material = await createRootCA(clock.now());
  await store.secrets.set(CA_KEY_SECRET, material.key);
  const { certificate } = material;
  return {
    rootCA: new RootCA(material),
    joinTokens: { worker: newJoinToken(certificate), manager: newJoinToken(certificate) },
  };
}

/** The CA of the cluster in this store. */
export function openClusterCA(store: Store): RootCA {
  const key = store.secrets.get(CA_KEY_SECRET);
  if (key === undefined) {
    throw new SystemError("the store has a cluster but not its CA's private key: restore a backup");
  }
  return new RootCA({ certificate: theCluster(store.view()).rootCACertificate, key });
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
 * A manager that was off until its certificate had expired is refused by everybody, itself included, and can ask
 * nobody for the next one: but it has the CA's key. Resolves with whether that was so.
 */
export async function renewExpiredManager(
  store: Store,
  certificates: NodeCertificates,
  clock: Clock,
): Promise<boolean> {
  if (clock.now() < certificates.validity.notAfter) return false;
  const { key, request } = newKeyAndRequest();
  const certificate = await openClusterCA(store).issue({
    request,
    identity: certificates.identity,
    validityMs: nodeValidityMs(theCluster(store.view())),
    now: clock.now(),
  });
  await certificates.renew(key, certificate);
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
