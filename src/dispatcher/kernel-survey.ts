/**
 * Asks nodes that have a session what their kernels hold of the mesh, or do with a packet, and waits for the answers:
 * what `weft mesh` and `weft trace` show is what is, beside what should be.
 */
import type { Clock } from "../base/clock.ts";
import type { HostTrace, TraceQuestion } from "../datapath/host-trace.ts";
import type { KernelMesh } from "../datapath/inspect.ts";
import type { KernelMesh as KernelMeshFrame, TraceAnswer } from "./gen/weft_pb.ts";
import { decodeHostTrace } from "./wire-host-trace.ts";
import { decodeKernelMesh } from "./wire-kernel-mesh.ts";

/** A node that has not answered within this time is shown as silent. */
const ANSWER_MS_MAX = 3_000;

/** A session that can be asked. */
export interface AskedSession {
  readonly nodeID: string;
  askKernelMesh(question: number): void;
  askTrace(question: number, packet: TraceQuestion): void;
}

export class KernelSurvey {
  readonly #clock: Clock;
  #question = 0;
  readonly #waiting = new Map<string, (mesh: KernelMesh) => void>();
  readonly #tracing = new Map<string, (trace: HostTrace) => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** By node; who is missing has not answered. */
  async ask(sessions: Iterable<AskedSession>): Promise<ReadonlyMap<string, KernelMesh>> {
    const answers = new Map<string, KernelMesh>();
    const asked = [...sessions].map((session) => this.#askOne(session, answers));
    const late = Promise.withResolvers<void>();
    const timer = this.#clock.timer("kernel-survey", ANSWER_MS_MAX, late.resolve);
    await Promise.race([Promise.all(asked.map(({ answered }) => answered)), late.promise]);
    timer.cancel();
    for (const { key } of asked) this.#waiting.delete(key);
    return answers;
  }

  /** Undefined when it has not answered. */
  async askTrace(session: AskedSession, packet: TraceQuestion): Promise<HostTrace | undefined> {
    const question = ++this.#question;
    const key = keyOf(session.nodeID, question);
    const { promise, resolve } = Promise.withResolvers<HostTrace | undefined>();
    this.#tracing.set(key, resolve);
    const timer = this.#clock.timer("trace", ANSWER_MS_MAX, () => resolve(undefined));
    session.askTrace(question, packet);
    const trace = await promise;
    timer.cancel();
    this.#tracing.delete(key);
    return trace;
  }

  /** A node has said what becomes of a packet. */
  onTrace(nodeID: string, frame: TraceAnswer): void {
    this.#tracing.get(keyOf(nodeID, frame.question))?.(decodeHostTrace(frame.trace));
  }

  /** A node has answered; nobody may be waiting any more. */
  onAnswer(nodeID: string, frame: KernelMeshFrame): void {
    this.#waiting.get(keyOf(nodeID, frame.question))?.(decodeKernelMesh(frame.mesh));
  }

  #askOne(session: AskedSession, answers: Map<string, KernelMesh>) {
    const question = ++this.#question;
    const key = keyOf(session.nodeID, question);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.set(key, (mesh) => {
      answers.set(session.nodeID, mesh);
      resolve();
    });
    session.askKernelMesh(question);
    return { key, answered: promise };
  }
}

function keyOf(nodeID: string, question: number): string {
  return `${nodeID} ${question}`;
}
