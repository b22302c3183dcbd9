/**
 * What the nodes tell each other without a manager: who is dead, and which endpoints are gone, drain, or are
 * ready. Endpoints are only ever those that managers have made.
 *
 *     a node's word about its own endpoints ─▶ counts always
 *     a node is dead ─▶ managers are told; while none is heard, its silent endpoints are hidden
 */
import { isDeepStrictEqual } from "node:util";
import type { Clock, Timer } from "../base/clock.ts";
import type { Startable } from "../base/lifecycle.ts";
import type { Logger } from "../base/logger.ts";
import type { Random } from "../base/random.ts";
import type { MeshNode } from "../datapath/view.ts";
import type { MeshConfig, PeerProblem } from "../dispatcher/assignment.ts";
import type { EndpointProbe } from "../dispatcher/endpoint-probe.ts";
import type { Address } from "../gossip/address.ts";
import { EndpointBook } from "../gossip/endpoint-book.ts";
import type { SaidEndpoint } from "../gossip/endpoint-news.ts";
import type { MemberState } from "../gossip/messages.ts";
import type { Member, MemberChange } from "../gossip/swim-state.ts";
import type { Timings } from "../gossip/timings.ts";
import type { Transport } from "../gossip/transport.ts";
import type { AgentGossip } from "./agent.ts";
import type { EndpointOverride, EndpointOverrides } from "./corrected-mesh.ts";
import { DeadEndpoints, type Suspect } from "./dead-endpoints.ts";
import { GossipLag } from "./gossip-lag.ts";
import { GossipMember } from "./gossip-member.ts";
import { type GossipReport, gossipReport } from "./gossip-report.ts";
import { isAsTold, type StartingTask, ToldEndpoints } from "./told-endpoints.ts";

/** A manager that is back waits this long for its nodes; until it knows itself, what is hidden stays so. */
const KEEP_MS = 20_000;

const DEAD: ReadonlySet<MemberState> = new Set(["dead", "left"]);
const DOUBTED: ReadonlySet<MemberState> = new Set(["suspect", ...DEAD]);

export interface NodeGossipComponents {
  readonly nodeID: string;
  readonly hostname: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** The others have no answer from a node, or have given it up. */
  readonly onMembership?: (nodeID: string, word: "doubted" | "accused") => void;
  /** A node that was not heard, or only doubted, is there again; of how many members it is one. */
  readonly onReturned?: (host: string, members: number) => void;
  readonly probe?: EndpointProbe;
  readonly transport?: (bind: Address) => Transport;
  readonly timings?: Timings;
}

export class NodeGossip implements AgentGossip, Startable {
  readonly #components: NodeGossipComponents;
  readonly #log: Logger;
  readonly #book: EndpointBook;
  readonly #member: GossipMember;
  readonly #dead: DeadEndpoints;
  readonly #lag = new GossipLag();
  #mesh: MeshConfig | undefined;
  #toldEndpoints: ToldEndpoints | undefined;
  #managers: readonly string[] = [];
  #own: readonly SaidEndpoint[] = [];
  /** Tasks that their nodes have said to be ready while managers know them to start. */
  #ready: ReadonlyMap<string, EndpointOverride> = new Map();
  /** Words about endpoints that managers have told otherwise. */
  #disputed = 0;
  /** A manager is heard and has told the mesh. */
  #isTold = false;
  #isConnected = false;
  #keepUntil = Number.NEGATIVE_INFINITY;
  #keepTimer: Timer | undefined;
  #overrides: EndpointOverrides = new Map();
  #onOverrides: () => void = () => {};

  constructor(components: NodeGossipComponents) {
    const { nodeID, hostname, clock, random, probe, transport, timings } = components;
    const log = components.log.child("gossip");
    this.#components = components;
    this.#log = log;
    this.#book = new EndpointBook(nodeID, clock.now());
    this.#member = new GossipMember({
      nodeID,
      hostname,
      clock,
      random,
      log,
      application: {
        onNews: (payload) => this.#learn(payload),
        state: () => this.#book.state(),
        onState: (state) => this.#learn(state),
        onDigest: (node, digest) => this.#onDigest(node, digest),
      },
      onBegin: () => this.#tellDigest(),
      onChange: (change, member) => this.#onChange(change, member),
      ...(transport === undefined ? {} : { transport }),
      ...(timings === undefined ? {} : { timings }),
    });
    this.#dead = new DeadEndpoints({
      clock,
      log,
      suspects: () => this.#suspects(),
      onRound: () => this.#decide(),
      ...(probe === undefined ? {} : { probe }),
    });
  }

  /** It waits for keys and for an address of its own: both come from a manager. */
  start(): void {}

  async stop(): Promise<void> {
    this.#keepTimer?.cancel();
    await this.#member.stop();
    await this.#dead.stop();
  }

  /** Tells the others that this node goes for good, and stops. */
  async leave(): Promise<void> {
    await this.#member.leave();
    await this.stop();
  }

  setKeys(keys: readonly Uint8Array[]): void {
    this.#member.setKeys(keys);
  }

  /** Whether a manager is heard. */
  setConnected(isConnected: boolean): void {
    this.#isConnected = isConnected;
    if (isConnected) return;
    this.#isTold = false;
    this.#dead.markDirty();
  }

  setManagers(nodeIDs: readonly string[]): void {
    this.#managers = nodeIDs;
  }

  setMesh(mesh: MeshConfig): void {
    this.#mesh = mesh;
    this.#toldEndpoints = undefined;
    const nodeIDs = new Set(mesh.nodes.map(({ nodeID }) => nodeID));
    this.#book.setNodes(nodeIDs);
    this.#lag.keep(nodeIDs);
    this.#tellDigest();
    if (this.#isConnected && !this.#isTold) {
      const isHiding = this.#dead.silent().length > 0;
      this.#isTold = true;
      if (isHiding) this.#keep();
    }
    this.#member.setMesh(mesh);
    this.#decide();
    this.#dead.markDirty();
  }

  setOwn(own: readonly SaidEndpoint[]): void {
    this.#own = own;
    const news = this.#book.setOwn(own);
    if (news !== undefined) this.#member.node?.broadcast(EndpointBook.key, news);
    this.#tellDigest();
    this.#decide();
  }

  report(): GossipReport {
    const { node, fault } = this.#member;
    const now = this.#components.clock.monotonic();
    return gossipReport(node, fault, (nodeID) => this.#lag.of(nodeID), now, this.#disputed);
  }

  /** Members that should answer. */
  peers(): readonly MeshNode[] {
    const { nodeID: self } = this.#components;
    return (this.#mesh?.nodes ?? []).filter(({ nodeID, down }) => {
      const state = this.#stateOf(nodeID);
      return nodeID !== self && down !== true && (state === "alive" || state === undefined);
    });
  }

  /** What is wrong between this node and its peers. Of strangers only the counters tell. */
  problems(): readonly PeerProblem[] {
    const { node, fault } = this.#member;
    if (fault !== "") return [{ kind: "silent", peer: this.#components.nodeID, detail: fault }];
    // A host that has joined anew has the address of the node that it was.
    const nodes = (this.#mesh?.nodes ?? []).toSorted((a, b) => rank(a) - rank(b));
    const byHost = new Map(nodes.map((each) => [each.underlayAddress, each.nodeID]));
    return (node?.ailments() ?? []).flatMap(({ kind, host, node: name }): PeerProblem[] => {
      if (kind === "name") return name === undefined ? [] : [{ kind, peer: name, detail: host }];
      const peer = byHost.get(host);
      return peer === undefined ? [] : [{ kind, peer }];
    });
  }

  /** Endpoints that managers know to start. */
  starting(): ReadonlyMap<string, StartingTask> {
    return this.#told()?.starting ?? new Map();
  }

  overrides(): EndpointOverrides {
    return this.#overrides;
  }

  onOverrides(callback: () => void): void {
    this.#onOverrides = callback;
  }

  // ---- what is heard -------------------------------------------------------------------------------

  /** What was new is passed on, as memberlist leaves to the application. */
  #learn(bytes: Buffer): void {
    const fresh = this.#book.learn(bytes, this.#components.clock.now());
    for (const { key, payload } of fresh) this.#member.node?.broadcast(key, payload);
    this.#tellDigest();
    this.#decide();
  }

  #onDigest(node: string, digest: Buffer): void {
    const finding = this.#book.compare(node, digest);
    if (finding === undefined) return;
    const isDue = this.#lag.note(node, finding, this.#components.clock.monotonic());
    if (isDue) this.#member.node?.exchange(node);
  }

  #onChange(change: MemberChange, { node, address }: Member): void {
    const { onMembership, onReturned } = this.#components;
    if (change === "joined" || change === "recovered") {
      onReturned?.(address.host, this.#member.node?.members().length ?? 0);
    }
    if (change === "suspected") onMembership?.(node, "doubted");
    if (change === "failed" || change === "left") onMembership?.(node, "accused");
    this.#dead.markDirty();
  }

  #tellDigest(): void {
    this.#member.node?.setDigest(this.#book.digest());
  }

  // ---- what is hidden ------------------------------------------------------------------------------

  #keep(): void {
    const { clock } = this.#components;
    this.#keepUntil = clock.monotonic() + KEEP_MS;
    this.#keepTimer?.cancel();
    this.#keepTimer = clock.timer("gossip keep", KEEP_MS, () => this.#dead.markDirty());
  }

  /** Whether this node judges itself who is dead: nobody else does, or has not yet had the time. */
  #isActing(): boolean {
    if (!this.#isTold || this.#components.clock.monotonic() < this.#keepUntil) return true;
    return this.#managersAre(DEAD);
  }

  #managersAre(states: ReadonlySet<MemberState>): boolean {
    const isOne = (nodeID: string) => states.has(this.#stateOf(nodeID) ?? "alive");
    return this.#managers.length > 0 && this.#managers.every(isOne);
  }

  #suspects(): readonly Suspect[] {
    const isActing = this.#isActing();
    if (!isActing && !this.#managersAre(DOUBTED)) return [];
    return (this.#mesh?.nodes ?? []).flatMap(({ nodeID, index, overlayAddress }) => {
      const state = this.#stateOf(nodeID) ?? "alive";
      const known = DOUBTED.has(state) ? this.#told()?.ofNode(index) : undefined;
      if (known === undefined) return [];
      const endpoints = known.endpoints.filter(
        ({ taskID, state }) => state !== "starting" || this.#ready.has(taskID),
      );
      const isDead = isActing && DEAD.has(state);
      return [{ endpoints, inner: known.inner, overlayAddress, isDead }];
    });
  }

  #told(): ToldEndpoints | undefined {
    if (this.#mesh !== undefined) this.#toldEndpoints ??= new ToldEndpoints(this.#mesh);
    return this.#toldEndpoints;
  }

  #stateOf(nodeID: string): MemberState | undefined {
    return this.#member.node?.member(nodeID)?.state;
  }

  /** A node's word counts for its own endpoints only, and makes none: what managers have not put there is not heard. */
  #decide(): void {
    const overrides = new Map<string, EndpointOverride>();
    const ready = this.#stillStarting();
    this.#disputed = 0;
    for (const { nodeID, index } of this.#mesh?.nodes ?? []) {
      const isSelf = nodeID === this.#components.nodeID;
      const said = isSelf ? this.#own : this.#book.saidBy(nodeID);
      if (said.length === 0) continue;
      for (const endpoint of said) {
        const { taskID, word } = endpoint;
        if (word === "ready") this.#noteReady(ready, endpoint, index);
        if (word === "ready" || this.#told()?.ofNode(index)?.taskIDs.has(taskID) !== true) continue;
        ready.delete(taskID);
        // What is gone here is not in this node's view anyway.
        if (!isSelf || word !== "gone") overrides.set(taskID, { word });
      }
    }
    this.#ready = ready;
    for (const [taskID, override] of ready) overrides.set(taskID, override);
    const silent = this.#dead.silent();
    for (const taskID of silent) overrides.set(taskID, { word: "gone" });
    if (isDeepStrictEqual(overrides, this.#overrides)) return;
    if (silent.length > 0) this.#log.info("endpoints of dead nodes are hidden", { tasks: silent });
    this.#overrides = overrides;
    this.#onOverrides();
  }

  /** A task that was ready is so until managers say more of it: its node does not repeat it for ever. */
  #stillStarting(): Map<string, EndpointOverride> {
    const starting = this.#told()?.starting;
    return new Map([...this.#ready].filter(([taskID]) => starting?.has(taskID) === true));
  }

  #noteReady(ready: Map<string, EndpointOverride>, endpoint: SaidEndpoint, index: number): void {
    const told = this.#told()?.starting.get(endpoint.taskID);
    if (told === undefined) return;
    const { taskID, word, ports, ipv6Ports } = endpoint;
    if (isAsTold(endpoint, index, told)) ready.set(taskID, { word, ports, ipv6Ports });
    else this.#disputed++;
  }
}

/** Those that are down first. */
function rank({ down }: MeshNode): number {
  return down === true ? 0 : 1;
}
