/**
 * What a node runs because it is a manager: the store, the control loops that watch it, and the port that
 * nodes hang on. Made at `swarm init`, opened again at each start.
 */
import { rmSync } from "node:fs";
import type { InitRequest, ManagerBackend } from "../api/backend.ts";
import type { Clock, Timer } from "../base/clock.ts";
import type { ClusterID, NetworkID, NodeID } from "../base/ids.ts";
import { newID } from "../base/ids.ts";
import { type Startable, stopAll } from "../base/lifecycle.ts";
import type { Logger } from "../base/logger.ts";
import { gauge, type MetricFamily } from "../base/metrics.ts";
import type { Random } from "../base/random.ts";
import {
  createClusterCA,
  createManagerCertificates,
  nodeValidityMs,
  renewInvalidManager,
  rotateJoinToken,
  theCluster,
} from "../ca/cluster-ca.ts";
import { certificatesDirectory } from "../ca/join.ts";
import { NodeCA } from "../ca/node-ca.ts";
import type { NodeCertificates } from "../ca/node-certificates.ts";
import { type RootChange, RootRotator, type RotationPlan } from "../ca/root-rotation.ts";
import { initialObjects, uniqueLocalSubnet, withIPv6 } from "../cluster/initial-objects.ts";
import type { NodeRole } from "../cluster/objects.ts";
import { openStore, storeDirectory } from "../cluster/open-store.ts";
import type { Store } from "../cluster/store.ts";
import type { TraceQuestion } from "../datapath/host-trace.ts";
import type {
  LogSubscription,
  MeshSurvey,
  NodeTrace,
  TaskLogMessage,
} from "../dispatcher/assignment.ts";
import { Dispatcher } from "../dispatcher/dispatcher.ts";
import { GossipKeys } from "../dispatcher/gossip-keys.ts";
import { ManagerServer } from "../dispatcher/manager-server.ts";
import { startControlLoops } from "../orchestrator/control-loops.ts";
import { DEFAULT_MANAGER_PORT, parseHostPort } from "./addresses.ts";
import { readHostRoutes } from "./host-routes.ts";

/** How often the manager looks whether its own certificate is valid now. */
const CERTIFICATE_CHECK_MS = 5_000;

export interface ManagerComponents {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

export interface NewClusterRequest extends InitRequest {
  readonly dataDir: string;
  /** CIDRs that overlay subnets keep clear of. */
  readonly hostRoutes: readonly string[];
}

export class ManagerRole implements ManagerBackend, Startable {
  readonly store: Store;
  readonly #dispatcher: Dispatcher;
  readonly #gossipKeys: GossipKeys;
  readonly #server: ManagerServer;
  readonly #rootRotator: RootRotator;
  readonly #components: ManagerComponents;
  readonly #certificates: NodeCertificates;
  #loops: Startable | undefined;
  #certificateTimer: Timer | undefined;
  #certificateCheck: Promise<void> | undefined;
  #stopped = false;

  constructor(
    components: ManagerComponents,
    init: {
      readonly store: Store;
      readonly certificates: NodeCertificates;
      readonly listenAddr: string;
    },
  ) {
    const { clock, random, log } = components;
    this.#components = components;
    this.store = init.store;
    this.#dispatcher = new Dispatcher({
      ...{ store: init.store, clock, random, log },
      onGone: () => this.#gossipKeys.shutOut(),
    });
    this.#gossipKeys = new GossipKeys({
      secrets: init.store.secrets,
      clock,
      log,
      onKeys: (keys) => this.#dispatcher.setGossipKeys(keys),
    });
    const { certificates } = init;
    this.#certificates = certificates;
    this.#rootRotator = new RootRotator({ store: init.store, clock, log });
    this.#server = new ManagerServer(
      {
        dispatcher: this.#dispatcher,
        nodeCA: new NodeCA({ store: init.store, clock, log }),
        certificates,
        log,
      },
      parseHostPort(init.listenAddr, DEFAULT_MANAGER_PORT),
    );
  }

  /** The port last: whoever hangs on it finds everything else at work. When it cannot be had, nothing is left running. */
  async start(): Promise<void> {
    const { clock, log } = this.#components;
    try {
      await giveIngressIPv6(this.store);
      this.#loops = startControlLoops({ store: this.store, clock, log });
      await this.#dispatcher.start();
      await this.#renewIfInvalid();
      await this.#gossipKeys.start();
      this.#rootRotator.start();
      await this.#server.start();
      this.#watchCertificate();
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async #renewIfInvalid(): Promise<void> {
    const { clock, log } = this.#components;
    if (await renewInvalidManager(this.store, this.#certificates, clock))
      log.warn("this manager's certificate was not valid now and was renewed by itself");
  }

  /** A clock that is put right may make a certificate invalid that was made while it was wrong; nobody tells of that. */
  #watchCertificate(): void {
    const { clock, log } = this.#components;
    this.#certificateTimer = clock.timer("manager's certificate", CERTIFICATE_CHECK_MS, () => {
      this.#certificateCheck = this.#renewIfInvalid()
        .catch((error: unknown) =>
          log.error("this manager's certificate is not renewed", { error }),
        )
        .finally(() => {
          this.#certificateCheck = undefined;
          if (!this.#stopped) this.#watchCertificate();
        });
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#certificateTimer?.cancel();
    await stopAll([
      () => this.#certificateCheck,
      () => this.#server.stop(),
      () => this.#rootRotator.stop(),
      () => this.#gossipKeys.stop(),
      () => this.#dispatcher.stop(),
      () => this.#loops?.stop(),
      () => this.store.close(),
    ]);
  }

  /** Where nodes and managers reach this manager from now on, as "192.168.99.100:2377", and where its tunnels end. */
  async setAddress(addr: string, dataPathAddr: string | undefined): Promise<void> {
    const { nodeID } = this.#certificates.identity;
    const { host } = parseHostPort(addr, DEFAULT_MANAGER_PORT);
    await this.store.update((tx) => {
      const node = tx.get("node", nodeID);
      if (node?.managerStatus === undefined) return;
      const managerStatus = { ...node.managerStatus, addr };
      const { dataPathAddr: _, ...status } = node.status;
      const place = { addr: host, ...(dataPathAddr === undefined ? {} : { dataPathAddr }) };
      tx.put("node", { ...node, managerStatus, status: { ...status, ...place } });
    });
  }

  /** What this node's own gossip says of another. */
  onMembership(nodeID: string, word: "doubted" | "accused"): void {
    this.#dispatcher.onMembership(nodeID, word);
  }

  rotateJoinToken(role: NodeRole): Promise<void> {
    return rotateJoinToken(this.store, role);
  }

  changeRoot(asked: RootChange, write: (plan: RotationPlan) => Promise<void>): Promise<void> {
    return this.#rootRotator.change(asked, write);
  }

  rotateGossipKey(): Promise<void> {
    return this.#gossipKeys.rotate();
  }

  hostRoutes(): readonly string[] {
    return readHostRoutes();
  }

  /** What the metrics page says of this node as a manager. */
  metrics(): readonly MetricFamily[] {
    const snapshot = this.store.view();
    const kinds = ["node", "service", "task", "network", "secret", "config"] as const;
    const objects = kinds.map((kind) => ({ labels: { kind }, value: snapshot.list(kind).length }));
    return [
      gauge(
        "weft_manager_sessions",
        "Nodes that have a session with this manager.",
        this.#dispatcher.sessions,
      ),
      gauge("weft_store_revision", "Revision of the cluster's store.", snapshot.revision),
      gauge("weft_store_objects", "Objects in the cluster's store.", objects),
    ];
  }

  surveyMesh(): Promise<MeshSurvey> {
    return this.#dispatcher.surveyMesh();
  }

  traceOn(nodeID: string, packet: TraceQuestion): Promise<NodeTrace> {
    return this.#dispatcher.traceOn(nodeID, packet);
  }

  logs(subscription: LogSubscription, signal: AbortSignal): AsyncIterable<TaskLogMessage> {
    return this.#dispatcher.logs(subscription, signal);
  }
}

/**
 * The store of a new cluster, with this node as its manager in it, and the node's certificates. Written
 * whole or not at all: what an init that failed has left is removed first.
 */
export async function createCluster(
  components: ManagerComponents,
  request: NewClusterRequest,
): Promise<{ readonly store: Store; readonly certificates: NodeCertificates }> {
  const { clock, log } = components;
  const { dataDir, dataPathAddr } = request;
  removeCluster(dataDir);
  const store = await openStore({ dataDir, clock, log });
  try {
    const clusterID = newID<ClusterID>();
    const nodeID = newID<NodeID>();
    const { rootCA, joinTokens } = await createClusterCA(store, clock);
    const objects = initialObjects({
      ...request,
      clusterID,
      networkID: newID<NetworkID>(),
      rootCACertificate: rootCA.certificate,
      joinTokens,
      ingressSubnet6: uniqueLocalSubnet(request.hostRoutes),
    });
    const addr = parseHostPort(request.advertiseAddr, DEFAULT_MANAGER_PORT).host;
    await store.update((tx) => {
      tx.put("cluster", objects.cluster);
      tx.put("network", objects.network);
      tx.put("node", {
        id: nodeID,
        spec: { labels: {}, role: "manager", availability: request.availability },
        status: { state: "unknown", addr, ...(dataPathAddr === "" ? {} : { dataPathAddr }) },
        managerStatus: { leader: true, reachability: "reachable", addr: request.advertiseAddr },
      });
    });
    const validityMs = nodeValidityMs(theCluster(store.view()));
    const directory = certificatesDirectory(dataDir);
    const identity = { rootCA, nodeID, clusterID };
    const certificates = await createManagerCertificates({
      ...identity,
      directory,
      validityMs,
      clock,
    });
    return { store, certificates };
  } catch (error) {
    await store.close();
    removeCluster(dataDir);
    throw error;
  }
}

/** A cluster that was made before the mesh had IPv6 gets its prefix once. */
async function giveIngressIPv6(store: Store): Promise<void> {
  await store.update((tx) => {
    const subnet6 = uniqueLocalSubnet(readHostRoutes());
    for (const network of tx.list("network")) {
      const changed = withIPv6(network, subnet6);
      if (changed !== undefined) tx.put("network", changed);
    }
  });
}

function removeCluster(dataDir: string): void {
  rmSync(storeDirectory(dataDir), { recursive: true, force: true });
}
