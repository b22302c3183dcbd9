/** The objects of a cluster that has just been made: itself, and the network that published ports are reached through. */

import { randomBytes } from "node:crypto";
import { InvalidParameterError } from "../base/errors.ts";
import type { ClusterID, NetworkID } from "../base/ids.ts";
import { byFamily, isOfIPv6 } from "../base/ip-address.ts";
import {
  type Cidr,
  contains,
  formatAddress,
  formatCidr,
  overlaps,
  parseCidr,
  sizeOf,
} from "./cidr.ts";
import { formatCidr6, ipv6At } from "./cidr6.ts";
import type { Cluster, ClusterSpec, IPAMConfig, Network } from "./objects.ts";
import type { Draft } from "./store.ts";
import { subnetsOverlap } from "./subnet-overlap.ts";

export const INGRESS_VNI = 4096;
const INGRESS_SUBNET = "10.255.0.0/16";
const INGRESS_PREFIX_LENGTH = 16;
const DATA_PATH_PORT = 4789;
/** Prefix length of overlay subnets where nobody says another. */
export const SUBNET_SIZE = 24;
const DEFAULT_POOL = "10.0.0.0/8";
/** Tried when the host's routes cover the default pool and the user named none. */
const FALLBACK_POOLS = ["172.16.0.0/12", "192.168.0.0/16"];

const SECOND = 1_000_000_000;
const DAY = 24 * 60 * 60 * SECOND;

/** What a user who says nothing gets, as `docker swarm init` has it. Durations in nanoseconds. */
export const DEFAULT_CLUSTER_SPEC: ClusterSpec = {
  name: "default",
  labels: {},
  orchestration: { taskHistoryRetentionLimit: 5 },
  raft: {
    snapshotInterval: 10_000,
    keepOldSnapshots: 0,
    logEntriesForSlowFollowers: 500,
    electionTick: 10,
    heartbeatTick: 1,
  },
  dispatcher: { heartbeatPeriod: 5 * SECOND },
  caConfig: { nodeCertExpiry: 90 * DAY },
  taskDefaults: {},
  encryptionConfig: { autoLockManagers: false },
};

export interface InitialObjectsRequest {
  readonly clusterID: ClusterID;
  readonly networkID: NetworkID;
  readonly spec: ClusterSpec;
  readonly rootCACertificate: string;
  readonly joinTokens: Cluster["joinTokens"];
  /** CIDRs; empty for the default. */
  readonly defaultAddrPool: readonly string[];
  /** Prefix length of overlay subnets; 0 for the default. */
  readonly subnetSize: number;
  /** 0 for the default. */
  readonly dataPathPort: number;
  /** CIDRs that the host has routes to; the ingress network keeps clear of them. */
  readonly hostRoutes: readonly string[];
  /** Prefix of the mesh's IPv6 addresses, of 64 bits. */
  readonly ingressSubnet6: string;
}

export interface InitialObjects {
  readonly cluster: Draft<Cluster>;
  readonly network: Draft<Network>;
}

export function initialObjects(request: InitialObjectsRequest): InitialObjects {
  const subnet = ingressSubnet(request.defaultAddrPool, request.hostRoutes);
  return {
    cluster: {
      id: request.clusterID,
      spec: request.spec,
      rootCACertificate: request.rootCACertificate,
      joinTokens: request.joinTokens,
      defaultAddrPool:
        request.defaultAddrPool.length > 0 ? request.defaultAddrPool : [DEFAULT_POOL],
      subnetSize: request.subnetSize || SUBNET_SIZE,
      dataPathPort: request.dataPathPort || DATA_PATH_PORT,
    },
    network: {
      id: request.networkID,
      spec: {
        name: "ingress",
        labels: {},
        driver: "overlay",
        driverOptions: {},
        internal: false,
        attachable: false,
        ingress: true,
        ipv6Enabled: true,
      },
      ipam: {
        driver: "default",
        config: [
          { subnet: formatCidr(subnet), gateway: formatAddress(subnet.base + 1) },
          ipv6Config(request.ingressSubnet6),
        ],
      },
      vni: INGRESS_VNI,
    },
  };
}

/** A prefix that no other site has by chance: forty bits of it are random (RFC 4193 §3.2). Clear of the host's routes. */
export function uniqueLocalSubnet(hostRoutes: readonly string[] = []): string {
  const routes = byFamily(hostRoutes).ipv6;
  for (let tries = 0; tries < UNIQUE_TRIES_MAX; tries++) {
    const hex = randomBytes(UNIQUE_BYTES).toString("hex");
    const subnet = formatCidr6({ base: BigInt(`0xfd${hex}`) << 80n, prefixLength: 64 });
    if (!routes.some((route) => subnetsOverlap(route, subnet))) return subnet;
  }
  const wide = routes.filter((route) => subnetsOverlap(route, UNIQUE_LOCAL));
  throw new InvalidParameterError(
    `no IPv6 prefix for the ingress network: ${UNIQUE_LOCAL} overlaps with this host's routes ${wide.join(", ")}: make them narrower`,
  );
}

/** Where prefixes of one's own are taken from. */
const UNIQUE_LOCAL = "fd00::/8";
/** A host's routes would have to take almost all of them for so many to fail. */
const UNIQUE_TRIES_MAX = 100;
const UNIQUE_BYTES = 5;

/** The mesh's network with IPv6 beside IPv4; undefined when it has that, as one made today. */
export function withIPv6(network: Network, subnet6: string): Network | undefined {
  const { spec, ipam } = network;
  if (!spec.ingress || ipam.config.some(({ subnet }) => isOfIPv6(subnet))) return undefined;
  return {
    ...network,
    spec: { ...spec, ipv6Enabled: true },
    ipam: { ...ipam, config: [...ipam.config, ipv6Config(subnet6)] },
  };
}

function ipv6Config(subnet: string): IPAMConfig {
  return { subnet, gateway: ipv6At(subnet, 1) };
}

/** 10.255.0.0/16 where it is in the pool and clear of the host's routes; else the highest subnet that is. */
function ingressSubnet(pool: readonly string[], hostRoutes: readonly string[]): Cidr {
  // A default route leads everywhere and takes nothing.
  const routes = byFamily(hostRoutes)
    .ipv4.map(parseCidr)
    .filter(({ prefixLength }) => prefixLength > 0);
  const pools = (pool.length > 0 ? pool : [DEFAULT_POOL, ...FALLBACK_POOLS]).map(parseCidr);
  for (const each of pools) {
    for (const candidate of candidatesOf(each)) {
      if (!routes.some((route) => overlaps(route, candidate))) return candidate;
    }
  }
  const taken = routes
    .filter((route) => pools.some((each) => overlaps(route, each)))
    .map(formatCidr);
  throw new InvalidParameterError(
    `no subnet for the ingress network: ${pools.map(formatCidr).join(", ")} overlaps with this host's route ${taken.join(", ")}: name a free pool with --default-addr-pool`,
  );
}

/** Half of a pool at most: the networks of users come out of it too. */
function* candidatesOf(pool: Cidr): Iterable<Cidr> {
  const preferred = parseCidr(INGRESS_SUBNET);
  const prefixLength = Math.max(INGRESS_PREFIX_LENGTH, pool.prefixLength + 1);
  if (prefixLength === INGRESS_PREFIX_LENGTH && contains(pool, preferred)) yield preferred;
  const step = sizeOf({ base: 0, prefixLength });
  for (let base = pool.base + sizeOf(pool) - step; base >= pool.base; base -= step) {
    yield { base, prefixLength };
  }
}
