/**
 * What every node of a cluster runs: the agent, its session with a manager, and the renewal of its certificate.
 */
import { hostname } from "node:os";
import { Agent } from "../agent/agent.ts";
import type { NodeAttachments } from "../agent/attachments.ts";
import { GOSSIP_KEYS_FILE, GossipKeysFile } from "../agent/gossip-keys-file.ts";
import { gossipFamilies } from "../agent/gossip-metrics.ts";
import type { GossipReport } from "../agent/gossip-report.ts";
import type { ZoneInit } from "../agent/names.ts";
import { NodeGossip } from "../agent/node-gossip.ts";
import { PeerDiagnosis } from "../agent/peer-diagnosis.ts";
import { AgentSession, type NodeTrust } from "../agent/session.ts";
import { SECRETS_DIRECTORY } from "../agent/task-files.ts";
import type { Clock } from "../base/clock.ts";
import type { Startable } from "../base/lifecycle.ts";
import type { Logger } from "../base/logger.ts";
import type { Meters } from "../base/meters.ts";
import { gauge, type MetricFamily } from "../base/metrics.ts";
import type { Random } from "../base/random.ts";
import { CertificateRenewer } from "../ca/certificate-renewer.ts";
import type { NodeCertificates } from "../ca/node-certificates.ts";
import type { Network } from "../cluster/objects.ts";
import type { Datapath } from "../datapath/datapath.ts";
import type { KeeperClient } from "../keeper/protocol.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { rememberedManagers } from "./node-state.ts";

/** All hear within this, times the members, that a manager is back: its handshakes are some milliseconds each. */
const RETURN_MS = 2;

export interface MemberComponents {
  readonly runtime: Runtime;
  readonly keeper: KeeperClient;
  /** Starts a keeper where none answers. */
  readonly ensureKeeper: () => Promise<void>;
  readonly datapath: Datapath;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly meters?: Meters;
}

export interface MemberInit {
  readonly dataDir: string;
  readonly certificates: NodeCertificates;
  /** `address:port`, at least one. */
  readonly managers: readonly string[];
  /** Where other nodes reach this one, without port; empty for the address that its manager sees. */
  readonly advertiseAddr: string;
  /** Where this node's tunnels end; absent for where it is reached. */
  readonly dataPathAddr?: string;
  readonly onManagers: (managers: readonly { nodeID: string; addr: string }[]) => void;
  /** Where this node answers to balancers outside of containers, and as what. */
  readonly zone?: ZoneInit;
  /** Networks of this host's addresses at which ports are answered whose service does not say. */
  readonly publishDefault: readonly string[];
  /** The cluster no longer knows this node. */
  readonly onRemoved: (reason: string) => void;
  /** What this node's gossip says of another. */
  readonly onMembership?: (nodeID: string, word: "doubted" | "accused") => void;
}

export class MemberRole implements Startable {
  readonly #components: MemberComponents;
  readonly #init: MemberInit;
  readonly #agent: Agent;
  readonly #gossip: NodeGossip;
  readonly #gossipKeys: GossipKeysFile;
  readonly #diagnosis: PeerDiagnosis;
  readonly #renewer: CertificateRenewer;
  #managers: readonly string[];
  #session: AgentSession | undefined;
  #networks: readonly Network[] = [];
  #stopped = false;

  constructor(components: MemberComponents, init: MemberInit) {
    const { clock, random, log } = components;
    this.#components = components;
    this.#init = init;
    this.#managers = init.managers;
    const { nodeID } = init.certificates.identity;
    const { onMembership } = init;
    this.#gossip = new NodeGossip({
      nodeID,
      hostname: hostname(),
      clock,
      random,
      log,
      onReturned: (host, members) => this.#session?.onReturned(host, members * RETURN_MS),
      ...(onMembership === undefined ? {} : { onMembership }),
    });
    this.#gossipKeys = new GossipKeysFile({ nodeID, path: GOSSIP_KEYS_FILE, log });
    this.#diagnosis = new PeerDiagnosis({
      clock,
      gossip: this.#gossip,
      onProblems: (problems) => this.#session?.reportPeerProblems(problems),
    });
    this.#agent = new Agent(
      { ...components, gossip: this.#gossip },
      {
        nodeID,
        hostname: hostname(),
        dataDir: init.dataDir,
        secretsDir: SECRETS_DIRECTORY,
        ...(init.zone === undefined ? {} : { zone: init.zone }),
        publishDefault: init.publishDefault,
        onRemoved: init.onRemoved,
        onRole: (role) => {
          if (role === init.certificates.identity.role) return;
          log.warn("the managers gave this node another role", { role });
        },
      },
    );
    this.#renewer = new CertificateRenewer({
      certificates: init.certificates,
      managers: () => this.#managers,
      clock,
      random,
      log,
    });
  }

  /** Resolves when the agent is at work; the session follows as soon as the Engine says what this node is. */
  async start(): Promise<void> {
    await this.#agent.start();
    this.#gossip.setKeys(await this.#gossipKeys.read());
    this.#renewer.start();
    this.#diagnosis.start();
    const { dataPathAddr } = this.#init;
    void this.#agent.description().then((description) => {
      if (this.#stopped) return;
      this.#session = new AgentSession(
        {
          certificates: this.#init.certificates,
          handler: this.#agent,
          clock: this.#components.clock,
          random: this.#components.random,
          log: this.#components.log.child("session"),
          ...(this.#components.meters === undefined ? {} : { meters: this.#components.meters }),
        },
        {
          managers: this.#managers,
          description,
          advertiseAddr: this.#init.advertiseAddr,
          ...(dataPathAddr === undefined ? {} : { dataPathAddr }),
          onManagers: (managers) => {
            const advertised = managers.map(({ addr }) => addr);
            this.#managers = rememberedManagers(advertised, this.#managers);
            this.#gossip.setManagers(managers.map(({ nodeID }) => nodeID));
            this.#init.onManagers(managers);
          },
          onNetworks: (networks) => {
            this.#networks = networks;
          },
          onTrust: (trust) => this.#onTrust(trust),
          onGossipKeys: (keys) => {
            this.#gossip.setKeys(keys);
            void this.#gossipKeys.write(keys);
          },
          onConnected: (isConnected) => {
            this.#gossip.setConnected(isConnected);
            if (isConnected) this.#diagnosis.tell();
          },
        },
      );
      this.#agent.setReporter(this.#session);
      this.#agent.attachments.setDesk(this.#session);
      this.#session.start();
    });
  }

  /** Stops deciding. Containers, kernel and keeper go on as they are. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#session?.stop();
    await this.#diagnosis.stop();
    await this.#gossip.stop();
    await this.#renewer.stop();
    await this.#agent.stop();
  }

  /** What the metrics page says of this node as a member. */
  async metrics(): Promise<readonly MetricFamily[]> {
    const isOpen = this.#session?.isOpen === true;
    return [
      gauge("weft_session_up", "Whether this node has a session with a manager.", Number(isOpen)),
      ...gossipFamilies(this.#gossip.report()),
      ...(await this.#agent.metrics()),
    ];
  }

  /** A disk that takes nothing now costs the session nothing: the rotation waits, and the next session tells it again. */
  #onTrust({ roots, issuer, renewWithinMs }: NodeTrust): void {
    try {
      this.#init.certificates.trust(roots);
      this.#renewer.requireIssuer(issuer, renewWithinMs);
    } catch (error) {
      this.#components.log.error("the cluster's roots could not be taken over", { error });
    }
  }

  /** The cluster's networks that this node shows, as a manager last told them. */
  get networks(): readonly Network[] {
    return this.#networks;
  }

  /** Places for containers of users' own. */
  get attachments(): NodeAttachments {
    return this.#agent.attachments;
  }

  /** How the gossip stands. */
  gossip(): GossipReport {
    const report = this.#gossip.report();
    return { ...report, ailments: [...report.ailments, ...this.#diagnosis.tunnelAilments()] };
  }

  /** Leaves for good: tells a manager where one hears it, ends all tasks, and takes the mesh off this host's kernel. */
  async leave(): Promise<void> {
    // First, while the others still hear it: once a manager knows, they get another key.
    await this.#gossip.leave();
    await this.#session?.leave();
    await this.#gossipKeys.forget();
    await this.#agent.clear();
    await this.stop();
    await this.#components.datapath.reset();
    // One that died meanwhile would come back with the ports that its state file names.
    await this.#components.ensureKeeper();
    await this.#components.keeper.holdPorts([]);
  }
}
