/** Questions for places in networks that a manager has not answered yet. */
import { type Clock, type Timer } from "../base/clock.ts";
import {
  ConflictError,
  ForbiddenError,
  InvalidParameterError,
  NotFoundError,
  SystemError,
  UnavailableError,
} from "../base/errors.ts";
import type { AttachmentPlace } from "../dispatcher/assignment.ts";
import type { Attached } from "../dispatcher/gen/weft_pb.ts";

/** As long as Docker waits, whose text is said then. */
const ANSWER_MS_MAX = 20_000;
const TIMED_OUT =
  "attaching to network failed, make sure your network options are correct and check manager logs: context deadline exceeded";

const CLASS_BY_CODE = {
  not_found: NotFoundError,
  forbidden: ForbiddenError,
  conflict: ConflictError,
  invalid_parameter: InvalidParameterError,
  unavailable: UnavailableError,
} as const;

interface Question {
  readonly resolve: (place: AttachmentPlace) => void;
  readonly reject: (error: Error) => void;
  readonly timer: Timer;
}

export class AttachQuestions {
  readonly #clock: Clock;
  readonly #open = new Map<number, Question>();
  #last = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** `send` is given the question's number; rejects when no answer comes. */
  ask(send: (question: number) => void): Promise<AttachmentPlace> {
    const question = ++this.#last;
    const { promise, resolve, reject } = Promise.withResolvers<AttachmentPlace>();
    const timer = this.#clock.timer("attach", ANSWER_MS_MAX, () => {
      this.#open.delete(question);
      reject(new SystemError(TIMED_OUT));
    });
    this.#open.set(question, { resolve, reject, timer });
    send(question);
    return promise;
  }

  answer(frame: Attached): void {
    const question = this.#open.get(frame.question);
    if (question === undefined) return;
    this.#open.delete(frame.question);
    question.timer.cancel();
    const { attachmentId: attachmentID, networkId: networkID, networkName, addresses } = frame;
    if (frame.err === undefined) {
      question.resolve({ attachmentID, networkID, networkName, addresses });
    } else {
      question.reject(errorOf(frame.code, frame.err));
    }
  }

  /** The session is over: what was asked in it is not answered any more. */
  abandon(): void {
    for (const { reject, timer } of this.#open.values()) {
      timer.cancel();
      reject(new UnavailableError("the connection to the manager was lost: try again"));
    }
    this.#open.clear();
  }
}

function errorOf(code: string, message: string): Error {
  const known = Object.entries(CLASS_BY_CODE).find(([each]) => each === code);
  return known === undefined ? new SystemError(message) : new known[1](message);
}
