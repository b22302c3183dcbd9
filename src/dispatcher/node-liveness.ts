/**
 * Which members can be heard of. A node that is silent for longer than the grace is asked after through
 * its endpoints: when none answers it is down at once; when some do, its host lives and only its daemon
 * is away, and it is given Docker's patience before its tasks are taken from it.
 *
 *     heard ── silence > grace ──▶ asked ── nobody answers, or patience over ──▶ down ── frames ──▶ heard
 *     heard ── dead in the gossip, and no beat when asked for one ──▶ asked
 *     awaited (its manager has just started) ── silence > patience ──▶ down
 */
import { isDeepStrictEqual } from "node:util";
import type { Clock, Timer } from "../base/clock.ts";
import type { TaskID } from "../base/ids.ts";
import type { EndpointProbe } from "./endpoint-probe.ts";
import type { EndpointEvidence } from "./endpoint-state.ts";
import type { HeartbeatTiming } from "./heartbeat.ts";
import { StallMeter } from "./stall-meter.ts";

/** Addresses of one node's endpoints that are asked in a round; a node's further ones share its first ones' fate. */
const PROBES_PER_ROUND_MAX = 64;
/** A node that lives and is asked for a beat is heard within this; one lost segment is sent again in less. */
const BEAT_ANSWER_MS = 500;
/**
 * The gossip's verdict comes 1.5 s after its doubt at the earliest. Endpoints of a node that owes a beat are asked so long
 * after the doubt: their answers, or the end of the wait for them, are there with the verdict and not 0.4 s later.
 */
const EARLY_QUESTION_MS = 1_050;
/** What was asked longer ago is asked anew. */
const FRESH_MS = 900;

export interface ProbeTarget {
  readonly taskID: TaskID;
  readonly address: string;
}

export type Verdict =
  /** Its daemon is silent, its tasks answer. */
  | { readonly kind: "doubtful"; readonly message: string }
  | { readonly kind: "down"; readonly message: string };

export interface NodeLivenessComponents {
  readonly clock: Clock;
  readonly probe: EndpointProbe;
  readonly timing: () => HeartbeatTiming;
  /** The running endpoints of a node. */
  readonly endpoints: (nodeID: string) => readonly ProbeTarget[];
  readonly onVerdict: (nodeID: string, verdict: Verdict) => void;
  /** What endpoints answered has changed for this node. */
  readonly onEvidence: (nodeID: string) => void;
  /** Asks a node for a beat at once, where it has a session. */
  readonly askForBeat: (nodeID: string) => void;
}

interface Watched {
  phase: "heard" | "awaited" | "asked" | "down";
  /** Monotonic milliseconds. */
  lastHeard: number;
  /** What this process had lost by then. */
  lostMsThen: number;
  timer: Timer | undefined;
  /** A round of questions is under way; what it brings counts for whoever else would have asked. */
  asking: boolean;
  lost: ReadonlySet<TaskID>;
  answering: ReadonlySet<TaskID>;
  /** Since when it owes a beat that it was asked for; undefined once something was heard. */
  owesBeat: { readonly since: number; readonly lostMsThen: number } | undefined;
  accusation: Timer | undefined;
  /** The question that comes with a doubt. */
  question: Timer | undefined;
  /** A round that was begun before anybody needed it. */
  early: { readonly at: number; readonly round: Promise<Round> } | undefined;
}

/** What the endpoints of one node have answered. */
interface Round {
  readonly all: readonly ProbeTarget[];
  readonly answering: ReadonlySet<string>;
}

const NOTHING: ReadonlySet<TaskID> = new Set();

export class NodeLiveness {
  readonly #components: NodeLivenessComponents;
  readonly #stalls: StallMeter;
  readonly #nodes = new Map<string, Watched>();

  constructor(components: NodeLivenessComponents) {
    this.#components = components;
    this.#stalls = new StallMeter(components.clock);
  }

  /** A session of the node begins; whatever was thought of it is over. */
  connected(nodeID: string): void {
    this.forget(nodeID);
    this.#watch(nodeID, "heard");
  }

  /** Something came from the node. True when it had been doubted or given up meanwhile. */
  heard(nodeID: string): boolean {
    const node = this.#nodes.get(nodeID);
    if (node?.phase !== "heard") {
      this.connected(nodeID);
      return true;
    }
    node.lastHeard = this.#components.clock.monotonic();
    node.lostMsThen = this.#stalls.lostMs();
    node.owesBeat = undefined;
    node.early = undefined;
    return false;
  }

  /** The other members have no answer from it: that it is heard here is made sure before they give it up. */
  doubted(nodeID: string): void {
    const node = this.#nodes.get(nodeID);
    if (node?.phase !== "heard" || node.owesBeat !== undefined) return;
    const { clock, askForBeat } = this.#components;
    const owes = { since: clock.monotonic(), lostMsThen: this.#stalls.lostMs() };
    node.owesBeat = owes;
    node.question?.cancel();
    node.question = clock.timer(`node ${nodeID} doubted`, EARLY_QUESTION_MS, () => {
      const isOverdue = node.owesBeat === owes && this.#beatDueMs(node) === 0;
      if (node.phase !== "heard" || !isOverdue) return;
      node.early = { at: clock.monotonic(), round: this.#round(nodeID) };
    });
    askForBeat(nodeID);
  }

  /**
   * The other members hold it for dead. A node that beats when it is asked to lives, whatever they think:
   * their packets may be blocked. The beat of one that was doubted before is overdue by now.
   */
  accused(nodeID: string): void {
    const node = this.#nodes.get(nodeID);
    if (node?.phase !== "heard") return;
    this.doubted(nodeID);
    node.accusation?.cancel();
    node.accusation = this.#components.clock.timer(
      `node ${nodeID} accused`,
      this.#beatDueMs(node),
      () => {
        const isSilent = node.owesBeat !== undefined && this.#nodes.get(nodeID) === node;
        if (node.phase !== "heard" || !isSilent) return;
        if (this.#beatDueMs(node) > 0) return this.accused(nodeID);
        node.phase = "asked";
        node.timer?.cancel();
        void this.#ask(nodeID, node);
      },
    );
  }

  /**
   * Its session ended: its daemon has, its host perhaps not. Endpoints that do not answer are lost at
   * once; the verdict on the node waits for the grace, since most daemons are back within it.
   */
  closed(nodeID: string): void {
    const node = this.#nodes.get(nodeID);
    if (node?.phase === "heard") void this.#ask(nodeID, node);
  }

  /** A member that was there when this manager started: it is given time to find the way back. */
  await(nodeID: string): void {
    if (!this.#nodes.has(nodeID)) this.#watch(nodeID, "awaited");
  }

  /** Said to be leaving, or removed. */
  forget(nodeID: string): void {
    const node = this.#nodes.get(nodeID);
    for (const timer of [node?.timer, node?.accusation, node?.question]) timer?.cancel();
    this.#nodes.delete(nodeID);
  }

  evidence(): EndpointEvidence {
    const all = [...this.#nodes.values()];
    return {
      lost: new Set(all.flatMap(({ lost }) => [...lost])),
      answering: new Set(all.flatMap(({ answering }) => [...answering])),
    };
  }

  stop(): void {
    this.#stalls.stop();
    for (const nodeID of [...this.#nodes.keys()]) this.forget(nodeID);
  }

  #watch(nodeID: string, phase: "heard" | "awaited"): void {
    const lastHeard = this.#components.clock.monotonic();
    const node: Watched = {
      phase,
      lastHeard,
      lostMsThen: this.#stalls.lostMs(),
      timer: undefined,
      asking: false,
      lost: NOTHING,
      answering: NOTHING,
      owesBeat: undefined,
      accusation: undefined,
      question: undefined,
      early: undefined,
    };
    this.#nodes.set(nodeID, node);
    this.#arm(nodeID, node, this.#limitMs(phase));
  }

  #limitMs(phase: Watched["phase"]): number {
    const { graceMs, patienceMs } = this.#components.timing();
    return phase === "awaited" ? patienceMs : graceMs;
  }

  /** One timer per node, set again only when it fires: frames do no more than move `lastHeard`. */
  #arm(nodeID: string, node: Watched, delayMs: number): void {
    node.timer = this.#components.clock.timer(`node ${nodeID} heard of`, delayMs, () => {
      const leftMs = this.#limitMs(node.phase) - this.#silentMs(node);
      if (leftMs > 0) {
        this.#arm(nodeID, node, leftMs);
        return;
      }
      if (node.phase === "heard") node.phase = "asked";
      void this.#ask(nodeID, node);
    });
  }

  /** For how long the node could have been heard and was not. */
  #silentMs(node: Watched): number {
    const lostMs = this.#stalls.lostMs() - node.lostMsThen;
    return this.#components.clock.monotonic() - node.lastHeard - lostMs;
  }

  /** How long the beat that it owes may still take; what this process slept does not count. */
  #beatDueMs({ owesBeat }: Watched): number {
    if (owesBeat === undefined) return 0;
    const lostMs = this.#stalls.lostMs() - owesBeat.lostMsThen;
    const owedMs = this.#components.clock.monotonic() - owesBeat.since - lostMs;
    return Math.max(0, BEAT_ANSWER_MS - owedMs);
  }

  /** One round of asking. Never rejects. */
  async #ask(nodeID: string, node: Watched): Promise<void> {
    if (node.asking) return;
    node.asking = true;
    const { early } = node;
    node.early = undefined;
    const isFresh = early !== undefined && this.#components.clock.monotonic() - early.at < FRESH_MS;
    const { all, answering: found } = await (isFresh ? early.round : this.#round(nodeID));
    node.asking = false;
    if (this.#nodes.get(nodeID) !== node) return;

    const answering = new Set(
      all.filter(({ address }) => found.has(address)).map(({ taskID }) => taskID),
    );
    const lost = new Set(all.map(({ taskID }) => taskID).filter((id) => !answering.has(id)));
    this.#setEvidence(nodeID, node, lost, answering);

    if (node.phase === "asked" || node.phase === "awaited") this.#judge(nodeID, node);
    // While endpoints answer they are asked again: connections to them go on only for as long as they do.
    if (node.phase !== "heard" && answering.size > 0) this.#askAgain(nodeID, node);
  }

  /** Asks them all, each address once. Never rejects. */
  async #round(nodeID: string): Promise<Round> {
    const { probe, endpoints } = this.#components;
    const all = endpoints(nodeID);
    // Several may be at one: those that the host answers for.
    const addresses = [...new Set(all.map(({ address }) => address))];
    const asked = addresses.slice(0, PROBES_PER_ROUND_MAX);
    const answers = await Promise.all(asked.map((address) => probe.answers(address)));
    const found = asked.filter((_, at) => answers[at]);
    const rest = found.length > 0 ? addresses.slice(PROBES_PER_ROUND_MAX) : [];
    return { all, answering: new Set([...found, ...rest]) };
  }

  #judge(nodeID: string, node: Watched): void {
    const { timing, onVerdict } = this.#components;
    const wasAwaited = node.phase === "awaited";
    const isPatienceOver = this.#silentMs(node) >= timing().patienceMs;
    const isOver = wasAwaited || node.answering.size === 0 || isPatienceOver;
    node.phase = isOver ? "down" : "asked";
    const message = wasAwaited ? FAILURE_WHILE_UNKNOWN : FAILURE;
    onVerdict(nodeID, isOver ? { kind: "down", message } : DOUBTFUL);
  }

  #askAgain(nodeID: string, node: Watched): void {
    const { clock, timing } = this.#components;
    node.timer = clock.timer(`node ${nodeID} asked again`, timing().periodMs, () => {
      void this.#ask(nodeID, node);
    });
  }

  #setEvidence(
    nodeID: string,
    node: Watched,
    lost: ReadonlySet<TaskID>,
    answering: ReadonlySet<TaskID>,
  ): void {
    const changed = !isDeepStrictEqual([lost, answering], [node.lost, node.answering]);
    node.lost = lost;
    node.answering = answering;
    if (changed) this.#components.onEvidence(nodeID);
  }
}

/** Docker's words (swarmkit dispatcher.go). */
const FAILURE = "heartbeat failure";
const FAILURE_WHILE_UNKNOWN = 'heartbeat failure for node in "unknown" state';
const DOUBTFUL: Verdict = {
  kind: "doubtful",
  message: "the node's daemon does not answer, its tasks do",
};
