/**
 * The node's end of its session with a manager. It connects, comes back after anything, gives what it
 * receives to its handler as whole sets, and keeps what the node reports until a manager has it.
 */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { ClientDuplexStream } from "@grpc/grpc-js";
import type { Clock, Timer } from "../base/clock.ts";
import { messageOf, UnavailableError } from "../base/errors.ts";
import { hostOf } from "../base/host-port.ts";
import type { Startable } from "../base/lifecycle.ts";
import type { Logger } from "../base/logger.ts";
import type { Meters } from "../base/meters.ts";
import type { Random } from "../base/random.ts";
import { memberCredentials } from "../ca/client.ts";
import { MANAGER_SERVER_NAME } from "../ca/identity.ts";
import type { NodeCertificates } from "../ca/node-certificates.ts";
import type { Network, NodeDescription, PortProblem } from "../cluster/objects.ts";
import type {
  AttachmentDesk,
  AttachmentPlace,
  AttachmentRequest,
  PeerProblem,
  SessionHandler,
  SessionReporter,
  TaskStatusUpdate,
} from "../dispatcher/assignment.ts";
import {
  type AgentFrame,
  AgentFrameSchema,
  type AskTrace,
  Dispatcher,
  type GossipKeys,
  type HeartbeatAnswer,
  type ManagerFrame,
  type Managers,
  type Welcome,
} from "../dispatcher/gen/weft_pb.ts";
import { RpcClient } from "../dispatcher/rpc.ts";
import { decodeTraceQuestion } from "../dispatcher/wire-host-trace.ts";
import { decodeNetwork, encodeDescription } from "../dispatcher/wire-objects.ts";
import { encodePeerProblems, encodePortProblems, encodeStatus } from "../dispatcher/wire-status.ts";
import { AttachQuestions } from "./attach-questions.ts";
import { LogPublisher } from "./log-publisher.ts";
import { AssignmentsInbox, decodeRole, MeshInbox } from "./session-inbox.ts";
import { type OutgoingReport, SessionOutbox } from "./session-outbox.ts";
import { SessionRetry } from "./session-retry.ts";

/** A session that ends sooner is a failure like any other: two hosts of one certificate take it from each other. */
const SETTLED_MS = 5_000;
/** From the first SYN to the welcome; and from a beat of a session that may be over to its answer. */
const WELCOME_MS_MAX = 5_000;
/** A try that is younger than this may have found the manager that is said to be there again; its SYN is repeated by then. */
const YOUNG_MS = 1_000;
/** Timers are always a little late. */
const LATE_MS_MAX = 100;
/** How long a leaving node waits for its manager to have heard. */
const LEAVE_MS_MAX = 2_000;

export interface AgentSessionComponents {
  readonly certificates: NodeCertificates;
  readonly handler: SessionHandler;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly meters?: Meters;
}

export interface AgentSessionInit {
  /** As "192.168.99.100:2377", at least one. */
  readonly managers: readonly string[];
  readonly description: NodeDescription;
  /** The IP address where other nodes reach this one; empty for the one that the manager sees. */
  readonly advertiseAddr: string;
  /** The IP address where its tunnels end; absent for where it is reached. */
  readonly dataPathAddr?: string;
  /** The cluster's managers are others now: to be kept for the next start. */
  readonly onManagers: (managers: readonly { nodeID: string; addr: string }[]) => void;
  /** Whom to trust, and who this node's certificate is to come from (both PEM), soon. */
  readonly onTrust?: (trust: NodeTrust) => void;
  /** The cluster's networks that this node shows. */
  readonly onNetworks?: (networks: readonly Network[]) => void;
  /** What the gossip is sealed with, the first key; the others open only. */
  readonly onGossipKeys?: (keys: readonly Uint8Array[]) => void;
  /** Whether a manager is heard. */
  readonly onConnected?: (isConnected: boolean) => void;
}

export interface NodeTrust {
  readonly roots: string;
  readonly issuer: string;
  readonly renewWithinMs: number;
}

type Stream = ClientDuplexStream<AgentFrame, ManagerFrame>;
type FrameKind = NonNullable<MessageInitShape<typeof AgentFrameSchema>["kind"]>;

/** One try at a session, from connecting to its end. */
interface Connection {
  readonly addr: string;
  readonly client: RpcClient;
  readonly stream: Stream;
  readonly logs: LogPublisher;
  readonly startedAt: number;
  welcomed: boolean;
  /** Fires when it has lasted. */
  settled: Timer | undefined;
  /** A confirmation is of a mesh that this session brought, or it is none. */
  hasMesh: boolean;
  /** Fires when the manager has been silent for too long. */
  silence: Timer | undefined;
  /** When it will fire. */
  silentBy: number;
  beat: Timer | undefined;
  /** When the heartbeat went out that is not answered yet. */
  beatAt: number | undefined;
}

export class AgentSession implements Startable, SessionReporter, AttachmentDesk {
  readonly #components: AgentSessionComponents;
  readonly #init: AgentSessionInit;
  readonly #outbox = new SessionOutbox();
  readonly #assignments = new AssignmentsInbox();
  readonly #mesh = new MeshInbox();
  readonly #questions: AttachQuestions;
  #description: NodeDescription;
  #managers: readonly string[];
  #next = 0;
  #connection: Connection | undefined;
  readonly #retry: SessionRetry;
  #flushDue = false;
  #stopped = true;
  #onLost: (() => void) | undefined;
  #unsubscribe: (() => void) | undefined;

  constructor(components: AgentSessionComponents, init: AgentSessionInit) {
    this.#components = components;
    this.#init = init;
    this.#questions = new AttachQuestions(components.clock);
    this.#retry = new SessionRetry({ ...components, onDue: () => this.#connect() });
    this.#managers = init.managers;
    this.#description = init.description;
  }

  start(): void {
    this.#stopped = false;
    this.#unsubscribe = this.#components.certificates.onChanged(() =>
      this.reportDescription(this.#description),
    );
    this.#connect();
  }

  /** The node goes quiet; its tasks and its place in the cluster stay. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#unsubscribe?.();
    this.#retry.cancel();
    const connection = this.#connection;
    if (connection !== undefined) this.#close(connection);
  }

  /** Tells the manager that this node leaves for good, and stops. Resolves also when no manager heard it. */
  async leave(): Promise<void> {
    this.#stopped = true;
    if (this.#connection?.welcomed === true) {
      const left = Promise.withResolvers<void>();
      const timer = this.#components.clock.timer("leave", LEAVE_MS_MAX, left.resolve);
      // The manager answers by ending the session.
      this.#onLost = left.resolve;
      this.#send({ case: "leave", value: {} });
      await left.promise;
      timer.cancel();
    }
    await this.stop();
  }

  get isOpen(): boolean {
    return this.#connection?.welcomed === true;
  }

  /** The managers as known now. */
  managers(): readonly string[] {
    return this.#managers;
  }

  /**
   * This host is there again, says the gossip: where it is a manager's, and none is heard, it is tried within this time.
   * Whatever is under way began when it was not.
   */
  onReturned(host: string, withinMs: number): void {
    const at = this.#managers.findIndex((addr) => hostOf(addr) === host);
    const connection = this.#connection;
    if (at < 0 || this.#stopped) return;
    if (connection?.welcomed === true) {
      if (hostOf(connection.addr) === host) this.#makeSure(connection);
      return;
    }
    this.#retry.forgive();
    const ageMs = this.#components.clock.monotonic() - (connection?.startedAt ?? 0);
    if (connection !== undefined && ageMs < YOUNG_MS) return;
    this.#next = at;
    this.#retry.hasten(withinMs);
  }

  reportStatus(update: TaskStatusUpdate): void {
    this.#outbox.putStatus(update);
    this.#flushSoon();
  }
  reportApplied(revision: number): void {
    if (this.#connection?.hasMesh !== true) return;
    this.#outbox.putApplied(revision);
    this.#flushSoon();
  }
  reportPortProblems(problems: readonly PortProblem[]): void {
    this.#outbox.putPortProblems(problems);
    this.#flushSoon();
  }
  /** Whole: it replaces what was reported before. */
  reportPeerProblems(problems: readonly PeerProblem[]): void {
    this.#outbox.putPeerProblems(problems);
    this.#flushSoon();
  }
  reportDescription(description: NodeDescription): void {
    this.#description = description;
    this.#outbox.putDescription(this.#described());
    this.#flushSoon();
  }

  attach(request: AttachmentRequest): Promise<AttachmentPlace> {
    const { network, containerName, aliases, address = "" } = request;
    if (this.#connection?.welcomed !== true) {
      return Promise.reject(new UnavailableError("no manager is in reach"));
    }
    return this.#questions.ask((question) => {
      const value = { question, network, containerName, aliases: [...aliases], address };
      this.#send({ case: "attach", value });
    });
  }

  detach(attachmentIDs: readonly string[]): void {
    if (this.#connection?.welcomed !== true) return;
    this.#send({ case: "detach", value: { attachmentIds: [...attachmentIDs] } });
  }

  #described(): NodeDescription {
    return { ...this.#description, tlsInfo: this.#components.certificates.tlsInfo };
  }

  // ---- connecting ------------------------------------------------------------------------------

  #connect(): void {
    const { certificates, handler } = this.#components;
    const addr = this.#managers[this.#next % this.#managers.length];
    if (this.#stopped || this.#connection?.welcomed === true || addr === undefined) return;
    if (this.#connection !== undefined) this.#close(this.#connection);
    const client = new RpcClient({
      addr,
      credentials: memberCredentials(certificates.material),
      serverName: MANAGER_SERVER_NAME,
    });
    const stream: Stream = client.duplex(Dispatcher.method.session);
    const logs = new LogPublisher({ client, handler, log: this.#components.log });
    const connection: Connection = {
      addr,
      client,
      stream,
      logs,
      startedAt: this.#components.clock.monotonic(),
      welcomed: false,
      settled: undefined,
      hasMesh: false,
      silence: undefined,
      silentBy: Number.POSITIVE_INFINITY,
      beat: undefined,
      beatAt: undefined,
    };
    this.#connection = connection;
    this.#assignments.restart();
    this.#mesh.restart();
    this.#outbox.restart();
    this.#expectWithin(connection, WELCOME_MS_MAX, "no welcome in time");
    stream.on("data", (frame: ManagerFrame) => this.#onFrame(connection, frame));
    stream.on("error", (error) => this.#lose(connection, messageOf(client.error(error))));
    stream.on("end", () => this.#lose(connection, "the manager ended the session"));
    const description = encodeDescription(this.#described());
    const { advertiseAddr, dataPathAddr = "" } = this.#init;
    this.#send({ case: "hello", value: { description, advertiseAddr, dataPathAddr } });
  }

  /** This try is over; there is always a next one, unless the node was stopped or removed. */
  #lose(connection: Connection, why: string): void {
    if (this.#connection !== connection) return;
    this.#close(connection);
    if (connection.welcomed) this.#init.onConnected?.(false);
    this.#onLost?.();
    // Most managers that end a session are back at once; one that was not there is not tried twice running.
    if (!connection.welcomed) this.#next += 1;
    if (this.#stopped) return;
    const retryMs = Math.round(this.#retry.fail());
    this.#components.log.warn("session lost", { manager: connection.addr, why, retryMs });
  }

  #close(connection: Connection): void {
    this.#connection = undefined;
    this.#questions.abandon();
    connection.settled?.cancel();
    connection.silence?.cancel();
    connection.beat?.cancel();
    connection.logs.stop();
    // Cancelling is told by an error, which nobody waits for any more.
    connection.stream.removeAllListeners();
    connection.stream.on("error", () => {});
    connection.stream.cancel();
    connection.client.close();
  }

  // ---- receiving -------------------------------------------------------------------------------

  #onFrame(connection: Connection, frame: ManagerFrame): void {
    if (this.#connection !== connection) return;
    const { handler } = this.#components;
    const { kind, sequence } = frame;
    try {
      switch (kind.case) {
        case "welcome":
          this.#onWelcome(connection, kind.value);
          break;
        case "assignments":
          this.#deliver(this.#assignments.receive(kind.value, sequence), (set) =>
            handler.onTasks(set.tasks, set.payloads),
          );
          break;
        case "mesh":
          this.#deliver(this.#mesh.receive(kind.value, sequence), (mesh) => {
            connection.hasMesh = true;
            handler.onMesh(mesh);
          });
          break;
        case "overlay":
          this.#deliver(this.#mesh.receiveOverlay(kind.value, sequence), (mesh) =>
            handler.onMesh(mesh),
          );
          break;
        case "ack":
          this.#outbox.acknowledge(kind.value.sequence);
          this.#flushSoon();
          break;
        case "heartbeat":
          this.#onHeartbeat(connection, kind.value);
          break;
        case "managers":
          this.#setManagers(kind.value);
          break;
        case "subscribeLogs":
          connection.logs.subscribe(kind.value);
          break;
        case "unsubscribeLogs":
          connection.logs.unsubscribe(kind.value.subscriptionId);
          break;
        case "askKernelMesh":
          void this.#onInspect(connection, kind.value.question);
          break;
        case "askTrace":
          void this.#onTrace(connection, kind.value);
          break;
        case "role":
          handler.onRole(decodeRole(kind.value.role));
          break;
        case "removed":
          this.#onRemoved(connection, kind.value.reason);
          break;
        case "attached":
          this.#questions.answer(kind.value);
          break;
        case "trust":
          this.#init.onTrust?.(kind.value);
          break;
        case "networks":
          this.#init.onNetworks?.(kind.value.networks.map(decodeNetwork));
          break;
        case "gossipKeys":
          this.#onGossipKeys(kind.value);
          break;
        case undefined:
          // A newer manager's frame that this node does not know.
          break;
        default:
          kind satisfies never;
      }
    } catch (error) {
      this.#lose(connection, messageOf(error));
    }
  }

  /** An answer that cannot be given is none: whoever asked waits for it only so long. */
  async #onInspect(connection: Connection, question: number): Promise<void> {
    try {
      const mesh = Buffer.from(JSON.stringify(await this.#components.handler.onInspect()));
      if (this.#connection === connection) {
        this.#send({ case: "kernelMesh", value: { question, mesh } });
      }
    } catch (error) {
      this.#components.log.warn("the kernel's mesh cannot be read", { error });
    }
  }

  async #onTrace(connection: Connection, { question, packet }: AskTrace): Promise<void> {
    try {
      const asked = decodeTraceQuestion(packet);
      const trace = Buffer.from(JSON.stringify(await this.#components.handler.onTrace(asked)));
      if (this.#connection === connection) {
        this.#send({ case: "traceAnswer", value: { question, trace } });
      }
    } catch (error) {
      this.#components.log.warn("a packet cannot be traced", { error });
    }
  }

  #onGossipKeys({ keys, generation }: GossipKeys): void {
    this.#init.onGossipKeys?.(keys);
    this.#send({ case: "gossipKeysInstalled", value: { generation } });
  }

  #onWelcome(connection: Connection, welcome: Welcome): void {
    connection.welcomed = true;
    this.#init.onConnected?.(true);
    connection.settled = this.#components.clock.timer("session settled", SETTLED_MS, () => {
      this.#retry.forgive();
    });
    this.#components.log.info("session open", { manager: connection.addr });
    if (welcome.managers !== undefined) this.#setManagers(welcome.managers);
    if (welcome.heartbeat !== undefined) this.#onHeartbeat(connection, welcome.heartbeat);
    this.#components.handler.onRole(decodeRole(welcome.role));
    this.#flushSoon();
  }

  /** A manager that does not answer within its own grace is as good as gone. */
  #onHeartbeat(connection: Connection, answer: HeartbeatAnswer): void {
    const { clock } = this.#components;
    this.#expectWithin(connection, answer.nextMs + answer.graceMs, "the manager does not answer");
    if (connection.beatAt !== undefined) {
      this.#components.meters?.heartbeat.observe(clock.monotonic() - connection.beatAt);
      connection.beatAt = undefined;
    }
    connection.beat?.cancel();
    connection.beat = clock.timer("heartbeat", answer.nextMs, () => this.#beat(connection));
  }

  #beat(connection: Connection): void {
    const { clock } = this.#components;
    connection.beatAt = clock.monotonic();
    this.#send({ case: "heartbeat", value: { clockMs: BigInt(Math.round(clock.now())) } });
  }

  /** The manager may have ended this session while it could not be heard: where beats are rare, that would long be unknown. */
  #makeSure(connection: Connection): void {
    const leftMs = connection.silentBy - this.#components.clock.monotonic();
    if (leftMs > WELCOME_MS_MAX) {
      this.#expectWithin(connection, WELCOME_MS_MAX, "the manager does not answer");
    }
    this.#beat(connection);
  }

  /**
   * A timer that is late shows that this process was held up, and what the manager said may wait to be read:
   * it is given that time again, once, since a starved process is late always.
   */
  #expectWithin(connection: Connection, waitMs: number, why: string, isAgain = false): void {
    const { clock } = this.#components;
    const dueAt = clock.monotonic() + waitMs;
    connection.silentBy = dueAt;
    connection.silence?.cancel();
    connection.silence = clock.timer("manager silent", waitMs, () => {
      const lateMs = clock.monotonic() - dueAt;
      if (lateMs > LATE_MS_MAX && !isAgain) this.#expectWithin(connection, lateMs, why, true);
      else this.#lose(connection, why);
    });
  }

  #setManagers({ managers }: Managers): void {
    if (managers.length === 0) return;
    // Those that it was started with stay at the end: what managers advertise may not be reachable from here.
    const advertised = managers.map(({ addr }) => addr);
    this.#managers = [...new Set([...advertised, ...this.#init.managers])];
    this.#next = Math.max(0, this.#managers.indexOf(this.#connection?.addr ?? ""));
    this.#init.onManagers(managers.map(({ nodeId: nodeID, addr }) => ({ nodeID, addr })));
  }

  #onRemoved(connection: Connection, reason: string): void {
    this.#stopped = true;
    this.#close(connection);
    this.#components.handler.onRemoved(reason);
  }

  #deliver<T>(
    received: { kind: "gap" } | { kind: "partial" } | { kind: "set"; value: T },
    handle: (value: T) => void,
  ): void {
    if (received.kind === "set") handle(received.value);
    else if (received.kind === "gap") this.#send({ case: "resync", value: {} });
  }

  // ---- sending ---------------------------------------------------------------------------------

  /** On the next turn: what is reported in one is one message, and nothing waits longer than that. */
  #flushSoon(): void {
    if (this.#flushDue) return;
    this.#flushDue = true;
    setImmediate(() => {
      this.#flushDue = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#connection?.welcomed !== true) return;
    for (;;) {
      const report = this.#outbox.take();
      if (report === undefined) return;
      this.#send({ case: "report", value: encodeReport(report) });
    }
  }

  #send(kind: FrameKind): void {
    this.#connection?.stream.write(create(AgentFrameSchema, { kind }));
  }
}

function encodeReport(report: OutgoingReport) {
  const { sequence, statuses, applied, portProblems, peerProblems, description } = report;
  return {
    sequence,
    statuses: statuses.map(encodeStatus),
    ...(applied === undefined ? {} : { appliedRevision: BigInt(applied) }),
    ...(portProblems === undefined ? {} : { portProblems: encodePortProblems(portProblems) }),
    ...(peerProblems === undefined ? {} : { peerProblems: encodePeerProblems(peerProblems) }),
    ...(description === undefined ? {} : { description: encodeDescription(description) }),
  };
}
