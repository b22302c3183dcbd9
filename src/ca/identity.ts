/** Who a certificate says its holder is: Docker's subject, O=cluster, OU=role, CN=node. */
import { X509Certificate } from "node:crypto";
import type { ClusterID, NodeID } from "../base/ids.ts";
import type { NodeRole } from "../cluster/objects.ts";

export interface NodeIdentity {
  readonly nodeID: NodeID;
  readonly clusterID: ClusterID;
  readonly role: NodeRole;
}

/** Names that certificates carry: the server name that a node asks a manager for, and the CA's. */
export const MANAGER_SERVER_NAME = "swarm-manager";
export const WORKER_SERVER_NAME = "swarm-worker";
export const CA_SERVER_NAME = "swarm-ca";

export function organizationalUnit(role: NodeRole): string {
  return role === "manager" ? MANAGER_SERVER_NAME : WORKER_SERVER_NAME;
}

/** The identity in a certificate's subject; undefined when it is no node's. */
export function identityOfSubject(subject: {
  readonly O?: string | string[] | undefined;
  readonly OU?: string | string[] | undefined;
  readonly CN?: string | string[] | undefined;
}): NodeIdentity | undefined {
  const { O: clusterID, OU: unit, CN: nodeID } = subject;
  const role = unit === MANAGER_SERVER_NAME ? "manager" : "worker";
  if (role === "worker" && unit !== WORKER_SERVER_NAME) return undefined;
  if (typeof clusterID !== "string" || typeof nodeID !== "string") return undefined;
  return { nodeID: nodeID as NodeID, clusterID: clusterID as ClusterID, role };
}

/** The identity in a PEM certificate; undefined when it is no node's. */
export function identityOfCertificate(pem: string): NodeIdentity | undefined {
  return identityOfSubject(new X509Certificate(pem).toLegacyObject().subject);
}
