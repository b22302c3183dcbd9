/**
 * The manager's answer to nodes that ask for a certificate: by join token a new node becomes a member,
 * by its present certificate a member gets the next one. Whoever the store does not know gets nothing.
 */

import { isIP } from "node:net";
import type { Clock } from "../base/clock.ts";
import {
  ForbiddenError,
  InvalidParameterError,
  NotImplementedError,
  UnauthorizedError,
} from "../base/errors.ts";
import { derivedID, type NodeID } from "../base/ids.ts";
import { isOfIPv6 } from "../base/ip-address.ts";
import type { Logger } from "../base/logger.ts";
import { reachableAddress } from "../cluster/cidr6.ts";
import { dataPathAddrOf, dataPathFamily, underlayFamily } from "../cluster/finders.ts";
import {
  type Cluster,
  NODE_AVAILABILITIES,
  type Node,
  type NodeAvailability,
  type NodeRole,
  type NodeStatus,
} from "../cluster/objects.ts";
import type { Snapshot, Store } from "../cluster/store.ts";
import { subnetsOverlap } from "../cluster/subnet-overlap.ts";
import { nodeValidityMs, openClusterCA, theCluster } from "./cluster-ca.ts";
import type { NodeIdentity } from "./identity.ts";
import { isSameToken } from "./join-token.ts";
import { type RootCA, requestedKey } from "./root-ca.ts";

/** As much of what is no address is repeated in its refusal. */
const ADDRESS_LENGTH_SHOWN = 64;

export interface NodeCAComponents {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Who calls, as TLS showed it. */
export interface Caller {
  /** From a certificate of this cluster's CA; absent when none was shown. */
  readonly identity?: NodeIdentity;
  readonly remoteAddress: string;
}

export interface CertificateAsked {
  readonly csr: string;
  readonly token: string;
  readonly availability: string;
  readonly advertiseAddr: string;
  readonly dataPathAddr: string;
  readonly hostRoutes: readonly string[];
}

export interface CertificateIssued {
  readonly nodeID: NodeID;
  readonly certificate: string;
}

export class NodeCA {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #log: Logger;
  #opened: { readonly cluster: Cluster; readonly signer: RootCA };

  /** Throws SystemError where the store has not the key to sign with. */
  constructor(components: NodeCAComponents) {
    this.#store = components.store;
    const cluster = theCluster(this.#store.view());
    this.#opened = { cluster, signer: openClusterCA(this.#store) };
    this.#clock = components.clock;
    this.#log = components.log;
  }

  /** The one that join tokens name: in a rotation the old one, until it is over. */
  rootCertificate(): string {
    return theCluster(this.#store.view()).rootCACertificate;
  }

  async issue(asked: CertificateAsked, caller: Caller): Promise<CertificateIssued> {
    return asked.token === "" ? await this.#renew(asked, caller) : await this.#join(asked, caller);
  }

  async #join(asked: CertificateAsked, caller: Caller): Promise<CertificateIssued> {
    const cluster = theCluster(this.#store.view());
    const role = roleOfToken(cluster, asked.token);
    const availability = decodeAvailability(asked.availability);
    refuseOverlap(asked.hostRoutes, this.#store.view());
    const addr = decodeAddress(asked.advertiseAddr, "advertised") ?? caller.remoteAddress;
    const dataPathAddr = decodeAddress(asked.dataPathAddr, "data path");
    const place = { addr, ...(dataPathAddr === undefined ? {} : { dataPathAddr }) };
    refuseOtherFamily(place, this.#store.view());
    // From its key, so that a join that is tried again with it is the same member, and leaves no other behind.
    const nodeID = derivedID<NodeID>(await requestedKey(asked.csr));
    const certificate = await this.#sign(asked.csr, nodeID, role, cluster);
    await this.#store.update((tx) => {
      // Looked at again: the token may have been rotated while the certificate was signed.
      roleOfToken(theCluster(tx), asked.token);
      const { spec, ...known } = tx.get("node", nodeID) ?? { id: nodeID, spec: { labels: {} } };
      tx.put("node", {
        ...known,
        spec: { ...spec, role, availability },
        status: { state: "unknown", ...place },
      });
    });
    this.#log.info("node joined", { nodeID, role, addr });
    return { nodeID, certificate };
  }

  async #renew(asked: CertificateAsked, caller: Caller): Promise<CertificateIssued> {
    if (caller.identity === undefined) {
      throw new InvalidParameterError("A valid join token is necessary to join this cluster");
    }
    const node = memberOf(this.#store.view(), caller.identity);
    const cluster = theCluster(this.#store.view());
    const certificate = await this.#sign(asked.csr, node.id, node.spec.role, cluster);
    this.#log.info("certificate renewed", { nodeID: node.id, role: node.spec.role });
    return { nodeID: node.id, certificate };
  }

  #sign(request: string, nodeID: NodeID, role: NodeRole, cluster: Cluster): Promise<string> {
    return this.#signer(cluster).issue({
      request,
      identity: { nodeID, clusterID: cluster.id, role },
      validityMs: nodeValidityMs(cluster),
      now: this.#clock.now(),
    });
  }

  /** Opened anew after a change of the cluster: its root may be another. */
  #signer(cluster: Cluster): RootCA {
    if (this.#opened.cluster !== cluster) {
      this.#opened = { cluster, signer: openClusterCA(this.#store) };
    }
    return this.#opened.signer;
  }
}

/** A route of the host's own would lead its packets for the mesh astray, or the mesh its packets for that network. */
function refuseOverlap(hostRoutes: readonly string[], snapshot: Snapshot): void {
  const networks = snapshot
    .list("network")
    .flatMap(({ spec, ipam }) =>
      (ipam?.config ?? []).flatMap(({ subnet }) =>
        subnet === undefined ? [] : [{ name: spec.name, subnet }],
      ),
    );
  for (const route of hostRoutes) {
    const hidden = networks.find(({ subnet }) => subnetsOverlap(route, subnet));
    if (hidden === undefined) continue;
    // An IPv6 prefix of the cluster's is random, and its next one is another.
    const cure = isOfIPv6(route)
      ? "make the cluster anew"
      : "make the cluster with --default-addr-pool";
    throw new InvalidParameterError(
      `this host has a route to ${route}, which overlaps with ${hidden.subnet} of the cluster's network ${hidden.name}: give the host's network (a Docker bridge, a VPN) another subnet, or ${cure}`,
    );
  }
}

/** The member that this identity is; throws when the cluster has none such: removed, or another cluster's. */
export function memberOf(snapshot: Snapshot, identity: NodeIdentity | undefined): Node {
  if (identity === undefined) {
    throw new UnauthorizedError("a certificate of this cluster is needed for this call");
  }
  if (identity.clusterID !== theCluster(snapshot).id) {
    throw new ForbiddenError(`node ${identity.nodeID} belongs to another cluster`);
  }
  const node = snapshot.get("node", identity.nodeID);
  if (node === undefined) {
    throw new ForbiddenError(`node ${identity.nodeID} was removed from the cluster`);
  }
  return node;
}

function roleOfToken(cluster: Cluster, token: string): NodeRole {
  if (isSameToken(token, cluster.joinTokens.worker)) return "worker";
  if (isSameToken(token, cluster.joinTokens.manager)) {
    throw new NotImplementedError(
      "this cluster's store is embedded in its one manager and takes no second one: " +
        'join as a worker, with the token of "docker swarm join-token worker"',
    );
  }
  throw new InvalidParameterError("A valid join token is necessary to join this cluster");
}

function decodeAvailability(text: string): NodeAvailability {
  if (text === "") return "active";
  const known = NODE_AVAILABILITIES.find((availability) => availability === text);
  if (known === undefined) throw new InvalidParameterError(`invalid availability "${text}"`);
  return known;
}

function decodeAddress(text: string, what: string): string | undefined {
  if (text === "") return undefined;
  const address = reachableAddress(text);
  if (address === undefined) {
    throw new InvalidParameterError(
      `invalid ${what} address "${text.slice(0, ADDRESS_LENGTH_SHOWN)}": expected an IP address`,
    );
  }
  return address;
}

/** Nodes reach each other by the family of their managers, and a tunnel has ends of one family. */
function refuseOtherFamily(
  place: Pick<NodeStatus, "addr" | "dataPathAddr">,
  snapshot: Snapshot,
): void {
  const { addr } = place;
  const family = underlayFamily(snapshot);
  if (family !== undefined && isIP(addr) !== family) {
    throw new InvalidParameterError(
      `this cluster's nodes reach each other over IPv${family}, and ${addr} is not such an address: name one with --advertise-addr`,
    );
  }
  const end = dataPathAddrOf(place);
  const tunnels = dataPathFamily(snapshot);
  if (tunnels === undefined || isIP(end) === tunnels) return;
  throw new InvalidParameterError(
    `this cluster's tunnels go over IPv${tunnels}, and ${end} is not such an address: name one with --data-path-addr`,
  );
}
