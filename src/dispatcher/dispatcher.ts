/**
 * The managers' side of all sessions: tells every node its tasks and the mesh, takes their reports, judges
 * who is there, and holds a task back from stopping until the mesh has let go of it.
 *
 *     store events ──▶ #reconcile ──▶ each session: mesh first, then assignments
 *     sessions ──▶ reports ──▶ store;  applied revisions ──▶ holds ──▶ #reconcile
 */
import { setImmediate } from "node:timers/promises";
import type { Clock, Timer } from "../base/clock.ts";
import { InvalidParameterError, isTemporary, messageOf } from "../base/errors.ts";
import type { NodeID, TaskID } from "../base/ids.ts";
import { Reconciler, type Startable } from "../base/lifecycle.ts";
import type { Logger } from "../base/logger.ts";
import type { Random } from "../base/random.ts";
import { issuingRootOf, rootsOf, theCluster } from "../ca/cluster-ca.ts";
import type { NodeIdentity } from "../ca/identity.ts";
import { memberOf } from "../ca/node-ca.ts";
import type { Node } from "../cluster/objects.ts";
import type { Change, Snapshot, Store, StoreEvent } from "../cluster/store.ts";
import type { TraceQuestion } from "../datapath/host-trace.ts";
import {
  type LogSubscription,
  type MeshSurvey,
  type NodeTrace,
  STATUSES_PER_REPORT_MAX,
  type TaskLogMessage,
} from "./assignment.ts";
import { assignmentsOfNode, payloadsOfNode } from "./assignments.ts";
import { Attachments } from "./attachments.ts";
import { Dirt } from "./dirt.ts";
import { type Holds, heldTasks, nextHoldDeadline, planHolds } from "./drain.ts";
import { type EndpointProbe, tcpEndpointProbe } from "./endpoint-probe.ts";
import type { AgentFrame, Attach, Hello, PublishLogsRequest, Report } from "./gen/weft_pb.ts";
import { type HeartbeatTiming, heartbeatTiming, nextBeatMs } from "./heartbeat.ts";
import { KernelSurvey } from "./kernel-survey.ts";
import { KeySpread } from "./key-spread.ts";
import { LogBroker } from "./log-broker.ts";
import { EMPTY_MESH, type MeshTable, meshConfigOf, updateMesh } from "./mesh.ts";
import { runningEndpoints, stoppingEndpoints } from "./mesh-queries.ts";
import { NetworkDiagnosis } from "./network-diagnosis.ts";
import { NodeLiveness, type Verdict } from "./node-liveness.ts";
import { doubtAllNodes, hasLeft, LEFT_MESSAGE, setNodeHeard, setNodeState } from "./node-state.ts";
import { networksShownTo, overlaysOfNode } from "./overlays.ts";
import { ReportWriter } from "./report-writer.ts";
import {
  type HeartbeatAnswer,
  type ManagerAddress,
  NodeSession,
  type SessionStream,
} from "./session.ts";
import { decodeDescription, decodeNodeAddr } from "./wire-objects.ts";
import { decodePeerProblems, decodePortProblems, decodeStatus } from "./wire-status.ts";

/** Ours sends four; one that sends more than this has its session ended, as the store cannot be had faster. */
const REPORTS_UNACKNOWLEDGED_MAX = 64;
/** A certificate takes a manager some milliseconds: this many nodes' worth of time all nodes have, when all need one. */
const RENEWAL_MS = 20;

export interface DispatcherComponents {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly probe?: EndpointProbe;
  /** A node is no member any more: what it knows must be worth nothing. */
  readonly onGone?: () => void;
}

/** A node's stream, as the server accepted it. */
export interface AcceptedStream {
  readonly stream: SessionStream;
  readonly identity: NodeIdentity;
  readonly remoteAddress: string;
  readonly cutConnection: () => void;
}

export class Dispatcher implements Startable {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #log: Logger;
  readonly #liveness: NodeLiveness;
  readonly #reports: ReportWriter;
  readonly #logs: LogBroker;
  readonly #attachments: Attachments;
  readonly #survey: KernelSurvey;
  readonly #diagnosis: NetworkDiagnosis;
  readonly #reconciler: Reconciler;
  readonly #sessions = new Map<string, NodeSession>();
  readonly #dirt = new Dirt();
  #mesh: MeshTable = EMPTY_MESH;
  /** Tasks of the mesh that must stop. */
  #stopping: readonly TaskID[] = [];
  #holds: Holds = new Map();
  #holdTimer: Timer | undefined;
  #unsubscribe: (() => void) | undefined;
  readonly #keys = new KeySpread();
  readonly #onGone: () => void;

  constructor(components: DispatcherComponents) {
    const { store, clock, log } = components;
    this.#store = store;
    this.#clock = clock;
    this.#random = components.random;
    this.#log = log;
    this.#onGone = components.onGone ?? (() => {});
    this.#reports = new ReportWriter({ store, clock: this.#clock, log });
    this.#survey = new KernelSurvey(clock);
    this.#diagnosis = new NetworkDiagnosis({ store, clock, log });
    this.#attachments = new Attachments(store);
    this.#logs = new LogBroker({ store, sessionOf: (nodeID) => this.#sessions.get(nodeID) });
    this.#liveness = new NodeLiveness({
      clock,
      probe: components.probe ?? tcpEndpointProbe,
      timing: () => this.#timing(),
      endpoints: (nodeID) => runningEndpoints(store.view(), nodeID),
      onVerdict: (nodeID, verdict) => void this.#onVerdict(nodeID, verdict),
      onEvidence: (nodeID) => this.#markNode(nodeID),
      askForBeat: (nodeID) => {
        this.#sessions.get(nodeID)?.answerHeartbeat({ ...this.#heartbeatAnswer(), nextMs: 0 });
      },
    });
    this.#reconciler = new Reconciler({
      pass: () => this.#reconcile(),
      onError: (error) => log.error("sessions not brought up to date", { error }),
    });
  }

  /** Members are in doubt until they are heard of: their last words may be from long ago. */
  async start(): Promise<void> {
    this.#unsubscribe = this.#store.subscribe((event) => this.#onEvent(event));
    try {
      await doubtAllNodes(this.#store);
    } catch (error) {
      // A full disk is no reason to be without a manager: who does not come back is found silent all the same.
      if (!isTemporary(error)) throw error;
      this.#log.error("the nodes' states are as they were before this start", { error });
    }
    for (const node of this.#store.view().list("node")) {
      if (node.status.state !== "down") this.#liveness.await(node.id);
    }
    this.#dirt.markAll();
    this.#reconciler.markDirty();
    this.#diagnosis.start();
  }

  async stop(): Promise<void> {
    this.#unsubscribe?.();
    this.#liveness.stop();
    this.#holdTimer?.cancel();
    for (const session of this.#sessions.values()) session.end();
    this.#sessions.clear();
    await this.#reconciler.stop();
    await this.#diagnosis.stop();
    await this.#reports.stop();
  }

  /** Takes over a node's new stream. */
  accept(accepted: AcceptedStream): void {
    const { stream, identity } = accepted;
    const session = new NodeSession(stream, {
      nodeID: identity.nodeID,
      cutConnection: accepted.cutConnection,
      onWritable: () => this.#markSession(identity.nodeID),
    });
    stream.on("data", (frame: AgentFrame) => {
      this.#onFrame(session, accepted, frame).catch((error: unknown) => {
        this.#log.warn("session ended", { nodeID: session.nodeID, error });
        session.fail(error);
      });
    });
    stream.on("error", (error: unknown) => {
      this.#log.debug("session broke", { nodeID: session.nodeID, error });
    });
    stream.on("cancelled", () => this.#onClosed(session));
    stream.on("close", () => this.#onClosed(session));
    stream.on("end", () => {
      session.end();
      this.#onClosed(session);
    });
  }

  /** One node's lines for one subscription. */
  async publishLogs(
    identity: NodeIdentity,
    requests: AsyncIterable<PublishLogsRequest>,
  ): Promise<void> {
    memberOf(this.#store.view(), identity);
    await this.#logs.publish(identity.nodeID, requests);
  }

  /** Lines of the tasks, from whichever nodes run them, until all is said or the signal. */
  logs(subscription: LogSubscription, signal: AbortSignal): AsyncIterable<TaskLogMessage> {
    return this.#logs.logs(subscription, signal);
  }

  /** How many nodes have one. */
  get sessions(): number {
    return this.#sessions.size;
  }

  /** What nodes' kernels hold, read back now, beside what they should hold. */
  async surveyMesh(): Promise<MeshSurvey> {
    const kernels = await this.#survey.ask(this.#sessions.values());
    return { mesh: meshConfigOf(this.#mesh), kernels };
  }

  /** What nodes are to seal their gossip with, from now on; resolves when all that have a session have it. */
  setGossipKeys(keys: readonly Uint8Array[]): Promise<void> {
    return this.#keys.tell(keys, this.#sessions);
  }

  /** What the members say of one among themselves, as this manager's own node hears it. */
  onMembership(nodeID: string, word: "doubted" | "accused"): void {
    this.#liveness[word](nodeID);
  }

  /** What the node's kernel does with a packet. */
  async traceOn(nodeID: string, packet: TraceQuestion): Promise<NodeTrace> {
    const session = this.#sessions.get(nodeID);
    const trace = session === undefined ? undefined : await this.#survey.askTrace(session, packet);
    const { revision } = this.#mesh;
    return trace === undefined ? { revision } : { trace, revision };
  }

  // ---- frames ----------------------------------------------------------------------------------

  async #onFrame(session: NodeSession, accepted: AcceptedStream, frame: AgentFrame): Promise<void> {
    const { kind } = frame;
    if (kind.case === "hello") {
      await this.#onHello(session, accepted, kind.value);
      return;
    }
    // Before its hello, or after a newer stream of the same node took its place.
    if (this.#sessions.get(session.nodeID) !== session) return;
    if (this.#liveness.heard(session.nodeID)) await setNodeHeard(this.#store, session.nodeID);
    switch (kind.case) {
      case "report":
        await this.#onReport(session, kind.value);
        break;
      case "heartbeat":
        if (kind.value.clockMs > 0n) {
          this.#diagnosis.noteClock(session.nodeID, Number(kind.value.clockMs));
        }
        session.answerHeartbeat(this.#heartbeatAnswer());
        break;
      case "resync":
        session.forgetSent();
        this.#markSession(session.nodeID);
        break;
      case "kernelMesh":
        this.#survey.onAnswer(session.nodeID, kind.value);
        break;
      case "traceAnswer":
        this.#survey.onTrace(session.nodeID, kind.value);
        break;
      case "gossipKeysInstalled":
        this.#keys.onInstalled(session, kind.value.generation);
        break;
      case "attach":
        await this.#onAttach(session, kind.value);
        break;
      case "detach":
        await this.#attachments.release(session.nodeID, kind.value.attachmentIds);
        break;
      case "leave":
        await this.#onLeave(session);
        break;
      case undefined:
        // A newer node's frame that this manager does not know.
        break;
      default:
        kind satisfies never;
    }
  }

  async #onHello(session: NodeSession, accepted: AcceptedStream, hello: Hello): Promise<void> {
    let node: Node;
    try {
      node = memberOf(this.#store.view(), accepted.identity);
    } catch (error) {
      this.#log.warn("session refused", { nodeID: session.nodeID, error });
      session.remove(messageOf(error));
      return;
    }
    const description = decodeDescription(hello.description);
    const addr = decodeNodeAddr(hello.advertiseAddr) ?? accepted.remoteAddress;
    const dataPathAddr = decodeNodeAddr(hello.dataPathAddr, "data path");
    this.#sessions.get(session.nodeID)?.cut();
    this.#sessions.set(session.nodeID, session);
    this.#liveness.connected(session.nodeID);
    session.welcome(node.spec.role, this.#managers(), this.#heartbeatAnswer());
    this.#tellTrust(session);
    this.#keys.tellNew(session);
    this.#markNode(node.id);
    this.#markSession(node.id);
    this.#log.info("session open", { nodeID: node.id, addr });
    this.#diagnosis.noteSession(node.id, accepted.remoteAddress);
    const place = { addr, ...(dataPathAddr === undefined ? {} : { dataPathAddr }) };
    await setNodeHeard(this.#store, node.id, { place, description });
  }

  async #onReport(session: NodeSession, report: Report): Promise<void> {
    session.unacknowledged += 1;
    if (session.unacknowledged > REPORTS_UNACKNOWLEDGED_MAX) {
      throw new InvalidParameterError("more reports than a node may send unacknowledged");
    }
    if (report.appliedRevision !== undefined) {
      session.applied = Number(report.appliedRevision);
      this.#reconciler.markDirty();
    }
    if (report.statuses.length > STATUSES_PER_REPORT_MAX) {
      throw new InvalidParameterError(
        `a report has at most ${STATUSES_PER_REPORT_MAX} statuses, not ${report.statuses.length}`,
      );
    }
    const { portProblems, peerProblems, description } = report;
    if (peerProblems !== undefined) {
      this.#diagnosis.setProblems(session.nodeID, decodePeerProblems(peerProblems));
    }
    await this.#reports.submit({
      nodeID: session.nodeID,
      statuses: report.statuses.map(decodeStatus),
      ...(portProblems === undefined ? {} : { portProblems: decodePortProblems(portProblems) }),
      ...(description === undefined ? {} : { description: decodeDescription(description) }),
    });
    session.acknowledge(report.sequence);
  }

  async #onAttach(session: NodeSession, attach: Attach): Promise<void> {
    const refusal = await this.#attachments.ask(session.nodeID as NodeID, attach);
    if (refusal !== undefined) session.answerAttach(refusal);
    // The allocator may have been done before the question was known to wait.
    else this.#markSession(session.nodeID);
  }

  async #onLeave(session: NodeSession): Promise<void> {
    this.#liveness.forget(session.nodeID);
    this.#log.info("node leaves", { nodeID: session.nodeID });
    await setNodeState(this.#store, session.nodeID, "down", LEFT_MESSAGE);
    this.#forgetSession(session);
    session.end();
    this.#onGone();
  }

  #onClosed(session: NodeSession): void {
    session.markEnded();
    if (this.#sessions.get(session.nodeID) !== session) return;
    this.#forgetSession(session);
    this.#liveness.closed(session.nodeID);
    this.#log.info("session closed", { nodeID: session.nodeID });
  }

  #forgetSession(session: NodeSession): void {
    if (this.#sessions.get(session.nodeID) !== session) return;
    this.#sessions.delete(session.nodeID);
    this.#keys.check();
    this.#diagnosis.closed(session.nodeID);
    this.#attachments.forgetQuestions(session.nodeID);
    this.#logs.sessionClosed(session.nodeID);
    // What waited for this node's confirmation waits no longer.
    this.#reconciler.markDirty();
  }

  // ---- the state of nodes ----------------------------------------------------------------------

  async #onVerdict(nodeID: string, verdict: Verdict): Promise<void> {
    const state = verdict.kind === "down" ? "down" : "unknown";
    // One whose endpoints go on answering is judged with each round of questions: said once is enough.
    const known = this.#store.view().get("node", nodeID as NodeID)?.status.state;
    const level = known === state ? "debug" : "warn";
    this.#log[level]("node not heard of", { nodeID, verdict: verdict.kind, why: verdict.message });
    this.#sessions.get(nodeID)?.cut();
    try {
      await setNodeState(this.#store, nodeID, state, verdict.message);
    } catch (error) {
      this.#log.error("node's state not stored", { nodeID, error });
    }
  }

  // ---- reconciling -----------------------------------------------------------------------------

  #onEvent(event: StoreEvent): void {
    for (const change of event.changes) {
      this.#dirt.markChange(change);
      if (change.kind === "cluster") this.#onCluster(change);
      if (change.kind !== "node") continue;
      const { object } = change;
      this.#markNode(object.id);
      this.#diagnosis.markDirty();
      if (change.action === "remove") this.#onNodeRemoved(object);
      else if (change.action === "update" && change.old.spec.role !== object.spec.role) {
        this.#sessions.get(object.id)?.setRole(object.spec.role);
      }
    }
    this.#reconciler.markDirty();
  }

  /** The period may be another: who was told to be silent for longer must not be taken for dead. So may be the root. */
  #onCluster(change: Change & { readonly kind: "cluster" }): void {
    const old = change.action === "update" ? rootsOf(change.old).join("") : "";
    const isOtherRoot = old !== rootsOf(change.object).join("");
    for (const session of this.#sessions.values()) {
      session.answerHeartbeat(this.#heartbeatAnswer());
      if (isOtherRoot) this.#tellTrust(session);
    }
  }

  #tellTrust(session: NodeSession): void {
    const snapshot = this.#store.view();
    const cluster = theCluster(snapshot);
    session.setTrust({
      roots: rootsOf(cluster).join(""),
      issuer: issuingRootOf(cluster),
      renewWithinMs: snapshot.list("node").length * RENEWAL_MS,
    });
  }

  #onNodeRemoved(node: Node): void {
    const { id: nodeID } = node;
    this.#liveness.forget(nodeID);
    this.#diagnosis.forget(nodeID);
    this.#attachments.releaseAll(nodeID).catch((error: unknown) => {
      this.#log.error("places of a removed node's containers are not given back", { error });
    });
    const session = this.#sessions.get(nodeID);
    if (session !== undefined) {
      session.remove(`node ${nodeID} was removed from the cluster`);
      this.#forgetSession(session);
    }
    // One that left was shut out then.
    if (!hasLeft(node)) this.#onGone();
  }

  #markNode(nodeID: string): void {
    this.#dirt.markNode(nodeID, this.#store.view());
    this.#reconciler.markDirty();
  }

  #markSession(nodeID: string): void {
    this.#dirt.markSession(nodeID);
    this.#reconciler.markDirty();
  }

  /** One pass: mesh, then holds, then sessions. Harmless when repeated. */
  async #reconcile(): Promise<void> {
    const snapshot = this.#store.view();
    const dirt = this.#dirt.take();
    const before = this.#mesh;
    this.#mesh = updateMesh(before, snapshot, this.#liveness.evidence(), dirt.mesh);
    if (this.#mesh !== before) this.#stopping = stoppingEndpoints(snapshot, this.#mesh);
    for (const session of this.#sessions.values()) {
      if (dirt.sessions === "all" || dirt.sessions.has(session.nodeID)) {
        session.overlayIDs = overlaysOfNode(snapshot, session.nodeID);
      }
      session.syncMesh(this.#mesh);
      session.syncNetworks(networksShownTo(snapshot, session.overlayIDs));
    }
    const held = this.#updateHolds(snapshot, dirt.sessions);
    for (const session of this.#sessions.values()) {
      if (dirt.sessions !== "all" && !dirt.sessions.has(session.nodeID)) continue;
      const assignments = assignmentsOfNode(snapshot, session.nodeID, held);
      session.syncAssignments(assignments, payloadsOfNode(snapshot, assignments));
      const answers = this.#attachments.answers(snapshot, session.nodeID);
      for (const answer of answers) session.answerAttach(answer);
      // Sets may be large and nodes many: what they send is read in between, heartbeats first of all.
      await setImmediate();
    }
  }

  /** Who is held now; nodes of tasks that are held no longer are added to `sessions`. */
  #updateHolds(snapshot: Snapshot, sessions: Set<string> | "all"): ReadonlySet<TaskID> {
    const now = this.#clock.monotonic();
    const before = heldTasks(this.#holds);
    this.#holds = planHolds(this.#holds, {
      stopping: this.#stopping,
      revision: this.#mesh.revision,
      applied: [...this.#sessions.values()].map(({ confirmed }) => confirmed),
      now,
    });
    const held = heldTasks(this.#holds);
    for (const taskID of before) {
      const nodeID = snapshot.get("task", taskID)?.nodeID;
      if (!held.has(taskID) && nodeID !== undefined && sessions !== "all") sessions.add(nodeID);
    }
    this.#armHoldTimer(now);
    return held;
  }

  #armHoldTimer(now: number): void {
    this.#holdTimer?.cancel();
    const deadline = nextHoldDeadline(this.#holds);
    if (deadline === undefined) return;
    this.#holdTimer = this.#clock.timer("hold", deadline - now, () => {
      const tasks = [...heldTasks(this.#holds)];
      this.#log.warn("tasks are stopped though not every node has confirmed", { tasks });
      this.#reconciler.markDirty();
    });
  }

  #timing(): HeartbeatTiming {
    return heartbeatTiming(this.#store.view().list("cluster")[0]?.spec);
  }

  #heartbeatAnswer(): HeartbeatAnswer {
    const timing = this.#timing();
    return { nextMs: nextBeatMs(timing, this.#random), graceMs: Math.round(timing.graceMs) };
  }

  #managers(): readonly ManagerAddress[] {
    return this.#store
      .view()
      .list("node")
      .flatMap(({ id, managerStatus }) =>
        managerStatus === undefined ? [] : [{ nodeId: id, addr: managerStatus.addr }],
      );
  }
}
