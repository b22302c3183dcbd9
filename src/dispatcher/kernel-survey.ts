/**
 * Asks every node that has a session what its kernel holds of the mesh, and waits for the answers: what `weft
 * mesh` shows is what is, beside what should be.
 */
import type { Clock } from "../base/clock.ts";
import type { KernelMesh } from "../datapath/inspect.ts";
import type { KernelMesh as KernelMeshFrame } from "./gen/weft_pb.ts";
import { decodeKernelMesh } from "./wire-kernel-mesh.ts";

/** A node that has not answered within this time is shown as silent. */
const ANSWER_MS_MAX = 3_000;

/** A session that can be asked. */
export interface AskedSession {
  readonly nodeID: string;
  askKernelMesh(question: number): void;
}

export class KernelSurvey {
  readonly #clock: Clock;
  #question = 0;
  readonly #waiting = new Map<string, (mesh: KernelMesh) => void>();

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
