/**
 * Gathers what sessions tell of the network between nodes, and keeps each node's problems in the store, where
 * `docker node inspect` shows them. Each is logged when it begins and when it ends.
 */
import type { Clock, Timer } from "../base/clock.ts";
import { Reconciler, type Startable } from "../base/lifecycle.ts";
import type { Logger } from "../base/logger.ts";
import type { Node } from "../cluster/objects.ts";
import type { Store } from "../cluster/store.ts";
import type { PeerProblem } from "./assignment.ts";
import { type NetworkFacts, networkMessages, SKEW_MS_MAX } from "./network-messages.ts";

/** Two hosts with one certificate take the session from each other; so often in this time is no move of one host. */
const RIVAL_CHANGES = 3;
const RIVAL_MS = 60_000;
/** Beats take now more time, now less: what differs by less than this is the same clock, said in the same words. */
const SKEW_STEP_MS = 10_000;
/** Sessions of one node that are remembered for that; the oldest is forgotten. */
const SESSIONS_MAX = 8;
const DEFAULT_DATA_PATH_PORT = 4_789;

export interface NetworkDiagnosisComponents {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
}

interface SessionStart {
  readonly addr: string;
  readonly at: number;
}

interface Skew {
  readonly ms: number;
  /** Beats running that were off by more than is well: one may have waited to be read. */
  readonly times: number;
}

export class NetworkDiagnosis implements Startable {
  readonly #components: NetworkDiagnosisComponents;
  readonly #loop: Reconciler;
  readonly #reports = new Map<string, readonly PeerProblem[]>();
  readonly #skews = new Map<string, Skew>();
  readonly #sessions = new Map<string, readonly SessionStart[]>();
  #timer: Timer | undefined;

  constructor(components: NetworkDiagnosisComponents) {
    this.#components = components;
    this.#loop = new Reconciler({
      pass: () => this.#pass(),
      onError: (error) => components.log.error("nodes' network problems not stored", { error }),
    });
  }

  /** What was known before a manager's start may be long over. */
  start(): void {
    this.markDirty();
  }

  async stop(): Promise<void> {
    this.#timer?.cancel();
    await this.#loop.stop();
  }

  /** Which nodes there are, or where, may be another now. */
  markDirty(): void {
    this.#loop.markDirty();
  }

  setProblems(nodeID: string, problems: readonly PeerProblem[]): void {
    this.#reports.set(nodeID, problems);
    this.markDirty();
  }

  /** What the node's clock said in a beat that came now. */
  noteClock(nodeID: string, clockMs: number): void {
    const ms = clockMs - this.#components.clock.now();
    const before = this.#skews.get(nodeID);
    const well = before === undefined ? SKEW_MS_MAX : SKEW_MS_MAX - SKEW_STEP_MS;
    if (Math.abs(ms) <= well) {
      if (this.#skews.delete(nodeID)) this.markDirty();
      return;
    }
    const isAsBefore = before !== undefined && Math.abs(ms - before.ms) < SKEW_STEP_MS;
    this.#skews.set(nodeID, { ms: isAsBefore ? before.ms : ms, times: (before?.times ?? 0) + 1 });
    this.markDirty();
  }

  noteSession(nodeID: string, addr: string): void {
    const at = this.#components.clock.monotonic();
    const before = this.#sessions.get(nodeID) ?? [];
    this.#sessions.set(nodeID, [...before, { addr, at }].slice(-SESSIONS_MAX));
    this.markDirty();
  }

  /** Its session is over: what it saw may be no more. */
  closed(nodeID: string): void {
    this.#skews.delete(nodeID);
    if (this.#reports.delete(nodeID)) this.markDirty();
  }

  /** It is no member any more. */
  forget(nodeID: string): void {
    this.closed(nodeID);
    this.#sessions.delete(nodeID);
  }

  async #pass(): Promise<void> {
    const { store, log } = this.#components;
    const messages = networkMessages(this.#facts());
    const changed = store
      .view()
      .list("node")
      .filter((node) => !isSame(node.networkProblems ?? [], messages.get(node.id) ?? []));
    if (changed.length === 0) return;
    await store.update((tx) => {
      for (const { id } of changed) {
        const node = tx.get("node", id);
        if (node !== undefined) tx.put("node", withProblems(node, messages.get(id) ?? []));
      }
    });
    for (const { id, description, networkProblems: before = [] } of changed) {
      const about = { nodeID: id, hostname: description?.hostname ?? "" };
      const after = messages.get(id) ?? [];
      for (const problem of after) {
        if (!before.includes(problem)) log.warn("a node is ailing", { ...about, problem });
      }
      for (const problem of before) {
        if (!after.includes(problem)) log.info("a node is well again", { ...about, problem });
      }
    }
  }

  #facts(): NetworkFacts {
    const view = this.#components.store.view();
    const nodes = view.list("node").flatMap(({ id, status, description }) => {
      const { state, addr, dataPathAddr } = status;
      if (addr === "") return [];
      const node = {
        ...{ nodeID: id as string, hostname: description?.hostname ?? id },
        ...{ addr, isDown: state === "down" },
      };
      return [dataPathAddr === undefined ? node : { ...node, dataPathAddr }];
    });
    const skews = [...this.#skews].flatMap(([nodeID, { ms, times }]) =>
      times > 1 ? [[nodeID, ms] as const] : [],
    );
    return {
      nodes,
      reports: this.#reports,
      skews: new Map(skews),
      rivals: this.#rivals(),
      dataPathPort: view.list("cluster")[0]?.dataPathPort ?? DEFAULT_DATA_PATH_PORT,
    };
  }

  #rivals(): ReadonlyMap<string, readonly string[]> {
    const { clock } = this.#components;
    const now = clock.monotonic();
    const rivals = new Map<string, readonly string[]>();
    for (const [nodeID, sessions] of this.#sessions) {
      const recent = sessions.filter(({ at }) => now - at < RIVAL_MS);
      const changes = recent.filter(
        ({ addr }, index) => index > 0 && addr !== recent[index - 1]?.addr,
      );
      if (changes.length < RIVAL_CHANGES) continue;
      rivals.set(nodeID, [...new Set(recent.map(({ addr }) => addr))].toSorted());
    }
    this.#timer?.cancel();
    if (rivals.size > 0) {
      this.#timer = clock.timer("rivals", RIVAL_MS, () => this.markDirty());
    }
    return rivals;
  }
}

function withProblems(node: Node, problems: readonly string[]): Node {
  const { networkProblems: _, ...rest } = node;
  return problems.length === 0 ? rest : { ...rest, networkProblems: problems };
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((each, index) => each === b[index]);
}
