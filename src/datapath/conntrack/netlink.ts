/**
 * Conntrack by the kernel's own interface, in process: one message for each thing to forget, many to a call. The `conntrack` tool
 * copies the whole table out for each look, which with some ten thousand connections took seconds on a busy host.
 */
import koffi from "koffi";
import { SystemError } from "../../base/errors.ts";
import type { Conntrack } from "./conntrack.ts";
import type { Forget } from "./forget.ts";
import { deletionMessage, errnoOf } from "./messages.ts";

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const NETLINK_NETFILTER = 12;
const ANSWER_BYTES_MAX = 4_096;
/** An answer is there when its request has been sent; more than this of others' would be a fault. */
const STRANGE_ANSWERS_MAX = 8;
/**
 * So many go to the kernel at once, whose answers must all fit into the socket's buffer. Each call gives the
 * processor away, and on a busy host gets it back only after everybody else's turn.
 */
const DELETIONS_MAX = 32;

type Call = (...args: unknown[]) => number;

interface Library {
  readonly socket: Call;
  readonly close: Call;
  readonly send: Call & { async(...args: unknown[]): void };
  readonly recv: Call;
}

/** Throws where the library or the kernel cannot: deleting by a filter came with Linux 6.3. */
export async function openConntrackSocket(): Promise<Conntrack> {
  const library = load();
  const fd = library.socket(AF_NETLINK, SOCK_RAW_CLOEXEC, NETLINK_NETFILTER);
  if (fd < 0) throw new SystemError(`no netlink socket: errno ${koffi.errno()}`);
  const conntrack = new ConntrackSocket(library, fd);
  try {
    // No flow's replies come from here.
    await conntrack.forget([{ kind: "half-open-to", address: "0.0.0.0" }]);
  } catch (error) {
    await conntrack.close();
    throw error;
  }
  return conntrack;
}

class ConntrackSocket implements Conntrack {
  readonly #library: Library;
  readonly #fd: number;
  #sequence = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(library: Library, fd: number) {
    this.#library = library;
    this.#fd = fd;
  }

  async forget(forget: readonly Forget[]): Promise<void> {
    const turn = this.#last.then(() => this.#forgetAll(forget));
    this.#last = turn.catch(() => {});
    await turn;
  }

  async close(): Promise<void> {
    await this.#last;
    this.#library.close(this.#fd);
  }

  async #forgetAll(forget: readonly Forget[]): Promise<void> {
    for (let done = 0; done < forget.length; done += DELETIONS_MAX) {
      await this.#forgetTogether(forget.slice(done, done + DELETIONS_MAX));
    }
  }

  /** The kernel takes one message after the other out of one buffer, and answers each. */
  async #forgetTogether(forget: readonly Forget[]): Promise<void> {
    const first = this.#sequence + 1;
    this.#sequence += forget.length;
    const messages = Buffer.concat(forget.map((one, n) => deletionMessage(one, first + n)));
    const sent = await new Promise<number>((resolve, reject) => {
      // The kernel does all of the work within this call: off the event loop.
      this.#library.send.async(
        ...[this.#fd, messages, messages.length, 0],
        (error: Error | null, result: number) => (error === null ? resolve(result) : reject(error)),
      );
    });
    if (sent !== messages.length) throw new SystemError("netlink messages were not taken");
    const errno = this.#answers(first).find((each) => each !== 0);
    if (errno !== undefined) throw new SystemError(`conntrack refuses to forget: errno ${errno}`);
  }

  /** What the kernel said to each message from the first on; 0 for done. */
  #answers(first: number): readonly number[] {
    const answers: number[] = [];
    for (let sequence = first; sequence <= this.#sequence; sequence++) {
      answers.push(this.#answer(sequence));
    }
    return answers;
  }

  #answer(sequence: number): number {
    const MSG_DONTWAIT = 0x40;
    for (let read = 0; read < STRANGE_ANSWERS_MAX; read++) {
      const answer = Buffer.alloc(ANSWER_BYTES_MAX);
      const length = this.#library.recv(this.#fd, answer, answer.length, MSG_DONTWAIT);
      if (length < 0) throw new SystemError(`no answer from conntrack: errno ${koffi.errno()}`);
      const errno = errnoOf(answer.subarray(0, length), sequence);
      if (errno !== undefined) return errno;
    }
    throw new SystemError("conntrack answers others only");
  }
}

function load(): Library {
  const library = koffi.load("libc.so.6");
  return {
    socket: library.func("int socket(int domain, int type, int protocol)"),
    close: library.func("int close(int fd)"),
    send: library.func("long send(int fd, const uint8_t *buf, size_t len, int flags)"),
    recv: library.func("long recv(int fd, _Out_ uint8_t *buf, size_t len, int flags)"),
  };
}
