/**
 * A node, from `swarm init` or `swarm join` to `swarm leave`, over all its restarts between: the composition
 * root of everything below the API, and the API's backend.
 */

import { rmSync } from "node:fs";
import { networkInterfaces } from "node:os";
import type { GossipReport } from "../agent/gossip-report.ts";
import type { ZoneInit } from "../agent/names.ts";
import type {
  InitRequest,
  JoinRequest,
  LocalNodeStatus,
  ManagerBackend,
  NodeBackend,
} from "../api/backend.ts";
import { messageOf, SystemError, UnavailableError } from "../base/errors.ts";
import { withPort } from "../base/host-port.ts";
import { type Startable, stopAll } from "../base/lifecycle.ts";
import { gauge, metricsPage } from "../base/metrics.ts";
import { certificatesDirectory, joinCluster, keepJoinKey } from "../ca/join.ts";
import { invalidityMessage, NodeCertificates } from "../ca/node-certificates.ts";
import type { Network } from "../cluster/objects.ts";
import { openStore, storeDirectory } from "../cluster/open-store.ts";
import type { Store } from "../cluster/store.ts";
import type { AttachmentPlace, AttachmentRequest } from "../dispatcher/assignment.ts";
import {
  DEFAULT_MANAGER_PORT,
  listenAddrFor,
  ownManagerAddr,
  parseHostPort,
  resolveAddress,
  resolveAdvertiseAddr,
  resolveDataPathAddr,
  resolveListenAddr,
  withDefaultPort,
} from "./addresses.ts";
import { readHostRoutes } from "./host-routes.ts";
import type { ManagerRole } from "./manager-role.ts";
import { type MemberComponents, MemberRole } from "./member-role.ts";
import { type NodeState, NodeStateFile, rememberedManagers } from "./node-state.ts";
import { processFamilies } from "./process-metrics.ts";

export interface NodeComponents extends MemberComponents {
  /** Throws when this host cannot be part of a Weft cluster: its Engine is in swarm mode itself, for one. */
  readonly checkHost: () => Promise<void>;
}

export interface NodeInit {
  readonly dataDir: string;
  /** Where this node answers to balancers outside of containers, and as what. */
  readonly zone?: ZoneInit;
  /** Networks of this host's addresses at which ports are answered whose service does not say; all when absent. */
  readonly publishDefault?: readonly string[];
}

const ALREADY_MEMBER =
  'This node is already part of a swarm. Use "docker swarm leave" to leave this swarm and join another one.';
const NO_MEMBER = "This node is not part of a swarm";
const LAST_MANAGER =
  "You are attempting to leave the swarm on a node that is participating as a manager. " +
  "Removing the last manager erases all current state of the swarm. Use `--force` to ignore this message.";

export class WeftNode implements NodeBackend, Startable {
  readonly #components: NodeComponents;
  readonly #dataDir: string;
  readonly #zone: ZoneInit | undefined;
  readonly #publishDefault: readonly string[];
  readonly #file: NodeStateFile;
  #state: NodeState | undefined;
  #manager: ManagerRole | undefined;
  #member: MemberRole | undefined;
  #certificates: NodeCertificates | undefined;
  /** Why this node cannot do what it should, as `docker info` shows it. */
  #error = "";
  #pending = false;
  #remoteManagers: readonly { readonly nodeID: string; readonly addr: string }[] = [];
  /** Init, join, leave, start and stop: one at a time. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(components: NodeComponents, init: NodeInit) {
    this.#components = components;
    this.#dataDir = init.dataDir;
    this.#zone = init.zone;
    this.#publishDefault = init.publishDefault ?? [];
    this.#file = new NodeStateFile(init.dataDir);
  }

  /** Goes on as what this node was. */
  start(): Promise<void> {
    return this.#exclusively(() => this.#goOn());
  }

  async #goOn(): Promise<void> {
    const state = this.#file.read();
    if (state === undefined) return;
    const certificates = NodeCertificates.load(certificatesDirectory(this.#dataDir));
    if (certificates === undefined) {
      throw new SystemError(
        `this node is part of a cluster but its certificates in ${certificatesDirectory(this.#dataDir)} are gone; restore them, or take it out of the cluster with 'weft reset --force'`,
      );
    }
    const store =
      state.role === "manager"
        ? await openStore({ ...this.#components, dataDir: this.#dataDir })
        : undefined;
    await this.#run(state, certificates, store);
  }

  stop(): Promise<void> {
    return this.#exclusively(() => this.#halt());
  }

  status(): LocalNodeStatus {
    const state = this.#state;
    const pending = this.#pending ? "pending" : "inactive";
    const error = this.#error === "" ? this.#expiry() : this.#error;
    return {
      state: error !== "" ? "error" : state === undefined ? pending : "active",
      nodeID: state?.nodeID ?? "",
      nodeAddr: state === undefined ? "" : addressOf(state, this.#manager),
      controlAvailable: this.#manager !== undefined,
      error,
      remoteManagers: this.#remoteManagers,
    };
  }

  manager(): ManagerBackend | undefined {
    return this.#manager;
  }

  /** The metrics page. */
  async metrics(): Promise<string> {
    return metricsPage([
      ...processFamilies(),
      gauge(
        "weft_member",
        "Whether this node is part of a cluster.",
        Number(this.#state !== undefined),
      ),
      ...(this.#components.meters?.families() ?? []),
      ...((await this.#member?.metrics()) ?? []),
      ...(this.#manager?.metrics() ?? []),
    ]);
  }

  attach(request: AttachmentRequest): Promise<AttachmentPlace> {
    const attachments = this.#member?.attachments;
    if (attachments === undefined) {
      return Promise.reject(new UnavailableError("this node is not part of a swarm"));
    }
    return attachments.attach(request);
  }

  settle(attachmentID: string): void {
    this.#member?.attachments.settle(attachmentID);
  }

  localNetwork(reference: string): string | undefined {
    return this.#member?.attachments.localName(reference);
  }

  networks(): readonly Network[] {
    return this.#manager?.store.view().list("network") ?? this.#member?.networks ?? [];
  }

  gossip(): GossipReport | undefined {
    return this.#member?.gossip();
  }

  init(request: InitRequest): Promise<string> {
    return this.#exclusively(async () => {
      if (request.forceNewCluster && this.#state?.role === "manager") {
        return await this.#beginAnew(request, this.#state);
      }
      await this.#checkFree();
      const interfaces = networkInterfaces();
      const wanted = resolveListenAddr(request.listenAddr, interfaces);
      const advertiseAddr = resolveAdvertiseAddr(request.advertiseAddr, wanted, interfaces);
      const listenAddr = listenAddrFor(advertiseAddr, wanted);
      const dataPathAddr = resolveDataPathAddr(request.dataPathAddr, interfaces);
      const { createCluster } = await managerModule();
      const { store, certificates } = await createCluster(this.#components, {
        ...request,
        advertiseAddr,
        dataPathAddr: dataPathAddr ?? "",
        dataDir: this.#dataDir,
        hostRoutes: readHostRoutes(),
      });
      const state: NodeState = {
        nodeID: certificates.identity.nodeID,
        role: "manager",
        managers: [ownManagerAddr(listenAddr)],
        listenAddr,
        advertiseAddr,
        ...(dataPathAddr === undefined ? {} : { dataPathAddr }),
      };
      await this.#become(state, certificates, store);
      return state.nodeID;
    });
  }

  join(request: JoinRequest): Promise<void> {
    return this.#exclusively(async () => {
      await this.#checkFree();
      this.#pending = true;
      try {
        const advertiseAddr = joinAddress(request.advertiseAddr);
        const dataPathAddr = resolveDataPathAddr(request.dataPathAddr, networkInterfaces());
        const listenAddr = resolveListenAddr(request.listenAddr, networkInterfaces());
        const managers = request.remoteAddrs.map(withDefaultPort);
        const certificates = await joinCluster({
          remoteAddrs: managers,
          token: request.joinToken,
          availability: request.availability,
          advertiseAddr: advertiseAddr && parseHostPort(advertiseAddr, DEFAULT_MANAGER_PORT).host,
          dataPathAddr: dataPathAddr ?? "",
          hostRoutes: readHostRoutes(),
          dataDir: this.#dataDir,
          clock: this.#components.clock,
        });
        const { nodeID, role } = certificates.identity;
        const state: NodeState = {
          nodeID,
          role,
          managers,
          listenAddr,
          advertiseAddr,
          ...(dataPathAddr === undefined ? {} : { dataPathAddr }),
        };
        await this.#becomeWorker(state, certificates);
      } finally {
        this.#pending = false;
      }
    });
  }

  /**
   * `swarm init --force-new-cluster`: this manager alone, with all that the cluster has. It is alone anyway; what is
   * new is where it listens, what it advertises and where its tunnels end, where the request says so.
   */
  async #beginAnew(request: InitRequest, before: NodeState): Promise<string> {
    const interfaces = networkInterfaces();
    const wanted =
      request.listenAddr === ""
        ? before.listenAddr
        : resolveListenAddr(request.listenAddr, interfaces);
    const advertiseAddr =
      request.advertiseAddr === ""
        ? before.advertiseAddr
        : resolveAdvertiseAddr(request.advertiseAddr, wanted, interfaces);
    const listenAddr = listenAddrFor(advertiseAddr, wanted);
    const managers = [ownManagerAddr(listenAddr)];
    const dataPathAddr =
      resolveDataPathAddr(request.dataPathAddr, interfaces) ?? before.dataPathAddr;
    const place = { advertiseAddr, ...(dataPathAddr === undefined ? {} : { dataPathAddr }) };
    this.#file.write({ ...before, managers, listenAddr, ...place });
    await this.#halt();
    try {
      await this.#goOn();
      await this.#manager?.setAddress(advertiseAddr, dataPathAddr);
    } catch (error) {
      this.#error = messageOf(error);
      throw error;
    }
    return before.nodeID;
  }

  /** The managers know it from here on: what fails is tried again as the same member. */
  async #becomeWorker(state: NodeState, certificates: NodeCertificates): Promise<void> {
    try {
      await this.#become(state, certificates, undefined);
    } catch (error) {
      keepJoinKey(certificatesDirectory(this.#dataDir), certificates.material.key);
      throw error;
    }
  }

  leave(force: boolean): Promise<void> {
    return this.#exclusively(async () => {
      if (this.#state === undefined) throw new UnavailableError(NO_MEMBER);
      if (this.#manager !== undefined && !force) throw new UnavailableError(LAST_MANAGER);
      await this.#leave();
    });
  }

  /** Why no manager hears this node any more, and the cure; empty while its certificate is valid. */
  #expiry(): string {
    if (this.#certificates === undefined) return "";
    return invalidityMessage(this.#certificates, this.#components.clock.now());
  }

  async #checkFree(): Promise<void> {
    if (this.#state !== undefined) throw new UnavailableError(ALREADY_MEMBER);
    await this.#components.checkHost();
  }

  /** From nothing to a member; what fails on the way leaves nothing behind. Remembered first: a task that runs here is never a nobody's. */
  async #become(
    state: NodeState,
    certificates: NodeCertificates,
    store: Store | undefined,
  ): Promise<void> {
    this.#error = "";
    try {
      this.#file.write(state);
      await this.#run(state, certificates, store);
    } catch (error) {
      const undo = [() => this.#halt(), () => store?.close(), () => this.#forget()];
      await stopAll(undo).catch((failure: unknown) => {
        this.#components.log.error("what was begun could not all be undone", { error: failure });
      });
      throw error;
    }
  }

  async #run(
    state: NodeState,
    certificates: NodeCertificates,
    store: Store | undefined,
  ): Promise<void> {
    if (store !== undefined) {
      const { listenAddr } = state;
      const { ManagerRole } = await managerModule();
      const manager = new ManagerRole(this.#components, { store, certificates, listenAddr });
      await manager.start();
      this.#manager = manager;
    }
    this.#state = state;
    this.#certificates = certificates;
    this.#remoteManagers = state.managers.map((addr) => ({ nodeID: "", addr }));
    this.#member = new MemberRole(this.#components, {
      dataDir: this.#dataDir,
      certificates,
      managers: state.managers,
      advertiseAddr: parseHostPort(state.advertiseAddr, DEFAULT_MANAGER_PORT).host,
      ...(state.dataPathAddr === undefined ? {} : { dataPathAddr: state.dataPathAddr }),
      ...(this.#zone === undefined ? {} : { zone: this.#zone }),
      publishDefault: this.#publishDefault,
      onManagers: (managers) => this.#onManagers(managers),
      onRemoved: (reason) => void this.#onRemoved(reason),
      onMembership: (nodeID, word) => this.#manager?.onMembership(nodeID, word),
    });
    await this.#member.start();
  }

  async #halt(): Promise<void> {
    const [member, manager] = [this.#member, this.#manager];
    this.#member = undefined;
    this.#manager = undefined;
    this.#certificates = undefined;
    this.#state = undefined;
    await stopAll([() => member?.stop(), () => manager?.stop()]);
  }

  async #leave(): Promise<void> {
    await this.#member?.leave();
    await stopAll([() => this.#halt(), () => this.#forget()]);
  }

  #forget(): void {
    this.#file.remove();
    NodeCertificates.remove(certificatesDirectory(this.#dataDir));
    rmSync(storeDirectory(this.#dataDir), { recursive: true, force: true });
    this.#remoteManagers = [];
  }

  #onManagers(managers: readonly { nodeID: string; addr: string }[]): void {
    this.#remoteManagers = managers;
    // A manager keeps to its own port; the others remember where the managers are now.
    if (this.#state === undefined || this.#state.role === "manager") return;
    const advertised = managers.map(({ addr }) => addr);
    const known = rememberedManagers(advertised, this.#state.managers);
    if (known.join() === this.#state.managers.join()) return;
    this.#state = { ...this.#state, managers: known };
    try {
      this.#file.write(this.#state);
    } catch (error) {
      // A full disk is no reason to be without a manager.
      this.#components.log.error("the managers' addresses are not on disk", { error });
    }
  }

  /** Taken out of the cluster from the other side: what it ran for it ends here too. */
  async #onRemoved(reason: string): Promise<void> {
    this.#components.log.warn("this node is no longer part of the cluster", { reason });
    try {
      await this.#exclusively(async () => {
        if (this.#state !== undefined) await this.#leave();
      });
    } catch (error) {
      this.#error = messageOf(error);
      this.#components.log.error("could not take the cluster off this node", { error });
    }
  }

  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
  }
}

/** Loaded where it is needed: the modules that sign certificates take memory that a worker has no use for. */
function managerModule() {
  return import("./manager-role.ts");
}

/** What `docker info` shows: the advertised address, else the one that the managers see. */
function addressOf(state: NodeState, manager: ManagerRole | undefined): string {
  if (state.advertiseAddr !== "") return parseHostPort(state.advertiseAddr, 0).host;
  return manager?.store.view().get("node", state.nodeID)?.status.addr ?? "";
}

/** Empty when the user gave none: then the manager takes the address that it sees. */
function joinAddress(advertiseAddr: string): string {
  if (advertiseAddr === "") return "";
  const { host, port } = parseHostPort(advertiseAddr, DEFAULT_MANAGER_PORT);
  return withPort(resolveAddress(host, networkInterfaces()), port);
}
