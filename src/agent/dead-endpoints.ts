/**
 * Endpoints of nodes that the gossip holds for dead, asked themselves: a node may have lost its daemon alone,
 * and its tasks then go on. Who is silent twice running, and whose node is dead, gets no new connection from
 * this node. Questions begin with the doubt, so that the answer is there with the verdict.
 */
import type { Clock, Timer } from "../base/clock.ts";
import { Reconciler, type Startable } from "../base/lifecycle.ts";
import type { Logger } from "../base/logger.ts";
import type { ToldEndpoint } from "../dispatcher/assignment.ts";
import { type EndpointProbe, tcpEndpointProbe } from "../dispatcher/endpoint-probe.ts";

/** They are asked this often. */
const LOOK_MS = 300;
/** Silent so often running: one lost answer is none. */
const SILENT_ROUNDS = 2;
/** Endpoints of one node that are asked in a round; a node's further ones share its first ones' fate. */
const PROBES_PER_ROUND_MAX = 64;

/** A node whose endpoints are to be asked. */
export interface Suspect {
  /** The node's own address in the ingress network, which its kernel answers. */
  readonly overlayAddress: string;
  readonly endpoints: readonly ToldEndpoint[];
  /** Tasks that only their networks' members reach: they share their host's fate. */
  readonly inner: readonly string[];
  /** Only doubted as yet: asked, and not hidden. */
  readonly isDead: boolean;
}

export interface DeadEndpointsComponents {
  readonly clock: Clock;
  readonly log: Logger;
  readonly probe?: EndpointProbe;
  /** Who is to be asked now; nobody while managers say who is dead. */
  readonly suspects: () => readonly Suspect[];
  /** A round is over. */
  readonly onRound: () => void;
}

export class DeadEndpoints implements Startable {
  readonly #components: DeadEndpointsComponents;
  readonly #loop: Reconciler;
  /** How often running an endpoint was silent. */
  #silent: ReadonlyMap<string, number> = new Map();
  #timer: Timer | undefined;
  #stopped = false;

  constructor(components: DeadEndpointsComponents) {
    this.#components = components;
    this.#loop = new Reconciler({
      pass: () => this.#round(),
      onError: (error) => components.log.error("dead nodes' endpoints are not judged", { error }),
    });
  }

  start(): void {}

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#loop.stop();
  }

  /** Who is dead may be others now. */
  markDirty(): void {
    this.#loop.markDirty();
  }

  /** Tasks of dead nodes that do not answer. */
  silent(): readonly string[] {
    return this.#components
      .suspects()
      .filter(({ isDead }) => isDead)
      .flatMap(({ endpoints, inner }) => [...endpoints.map(({ taskID }) => taskID), ...inner])
      .filter((taskID) => (this.#silent.get(taskID) ?? 0) >= SILENT_ROUNDS);
  }

  async #round(): Promise<void> {
    const { clock, suspects, onRound } = this.#components;
    const asked = suspects();
    const rounds = await Promise.all(asked.map((suspect) => this.#silentOf(suspect)));
    this.#silent = new Map(
      rounds.flat().map((taskID) => [taskID, (this.#silent.get(taskID) ?? 0) + 1]),
    );
    onRound();
    this.#timer?.cancel();
    if (this.#stopped || asked.length === 0) return;
    this.#timer = clock.timer("gossip look", LOOK_MS, () => this.#loop.markDirty());
  }

  async #silentOf({ endpoints, inner, overlayAddress }: Suspect): Promise<readonly string[]> {
    const { probe = tcpEndpointProbe } = this.#components;
    const asked = endpoints.slice(0, PROBES_PER_ROUND_MAX);
    const host = inner.length > 0 && probe.answers(overlayAddress);
    const answers = await Promise.all(asked.map(({ address }) => probe.answers(address)));
    const rest = answers.includes(true) ? [] : endpoints.slice(PROBES_PER_ROUND_MAX);
    const silent = [...asked.filter((_, at) => answers[at] !== true), ...rest];
    return [...silent.map(({ taskID }) => taskID), ...((await host) ? [] : inner)];
  }
}
