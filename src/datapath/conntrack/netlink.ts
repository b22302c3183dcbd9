/**
 * Conntrack by the kernel's own interface, in process: one message for each thing to forget, many to a call. The `conntrack` tool
 * copies the whole table out for each look, which with some ten thousand connections took seconds on a busy host.
 */
import koffi from "koffi";
import { SystemError } from "../../base/errors.ts";
import type { Conntrack } from "./conntrack.ts";
import type { Forget } from "./forget.ts";
import { deletionMessage, errnoOf, type Flow, listMessage, listPartOf } from "./messages.ts";
import { questionOf } from "./question.ts";

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const NETLINK_NETFILTER = 12;
const AF_INET = 2;
const AF_INET6 = 10;
const IPPROTO_RAW = 255;
const MSG_DONTWAIT = 0x40;
const ANSWER_BYTES_MAX = 4_096;
/** The kernel fills what it is given, up to this. */
const LIST_BYTES = 32_768;
/** Clients woken at once; the others find out with what they send next. */
const WAKE_MAX = 10_000;
/** An answer is there when its request has been sent; more than this of others' would be a fault. */
const STRANGE_ANSWERS_MAX = 8;
/**
 * So many go to the kernel at once, whose answers must all fit into the socket's buffer. Each call gives the
 * processor away, and on a busy host gets it back only after everybody else's turn.
 */
const DELETIONS_MAX = 32;

type Call = (...args: unknown[]) => number;
type AsyncCall = Call & { async(...args: unknown[]): void };

interface Library {
  readonly socket: Call;
  readonly close: Call;
  readonly send: AsyncCall;
  readonly sendto: Call;
  readonly recv: AsyncCall;
}

/**
 * Throws where the library or the kernel cannot: deleting by a filter came with Linux 6.3. `within` makes the socket
 * in another network namespace, which it then belongs to.
 */
export async function openConntrackSocket(
  within: <T>(work: () => T) => T = (work) => work(),
): Promise<Conntrack> {
  const library = load();
  const fd = within(() => library.socket(AF_NETLINK, SOCK_RAW_CLOEXEC, NETLINK_NETFILTER));
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
    await this.#exclusively(() => this.#forgetAll(forget));
  }

  async wake(addresses: readonly string[]): Promise<number> {
    const flows = await this.#list("tcp", addresses, WAKE_MAX);
    if (flows.length > 0) this.#ask(flows);
    return flows.length;
  }

  async flows(addresses: readonly string[], max: number): Promise<readonly Flow[]> {
    return await this.#list("udp", addresses, max);
  }

  async close(): Promise<void> {
    await this.#last;
    this.#library.close(this.#fd);
  }

  /** One request at a time: its answers are the next to come. */
  async #exclusively(work: () => Promise<void>): Promise<void> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => {});
    await turn;
  }

  async #list(
    protocol: "tcp" | "udp",
    addresses: readonly string[],
    max: number,
  ): Promise<readonly Flow[]> {
    const flows: Flow[] = [];
    await this.#exclusively(async () => {
      for (const [asked, wanted] of listsOf(addresses)) {
        for await (const part of this.#parts(protocol, asked)) {
          // What is beyond the bound is read too, or the next answer would be of this list.
          if (flows.length < max)
            flows.push(...part.filter(({ task }) => wanted.has(task.address)));
        }
      }
    });
    return flows.slice(0, max);
  }

  async *#parts(protocol: "tcp" | "udp", address: string): AsyncGenerator<readonly Flow[]> {
    this.#sequence += 1;
    await this.#send(listMessage(protocol, address, this.#sequence));
    for (;;) {
      const answer = Buffer.alloc(LIST_BYTES);
      // With each call the kernel walks on through its table: off the event loop.
      const length = await called(this.#library.recv, this.#fd, answer, LIST_BYTES, MSG_DONTWAIT);
      if (length < 0) throw new SystemError("conntrack does not list its flows to the end");
      const { flows, isLast } = listPartOf(answer.subarray(0, length), this.#sequence);
      yield flows;
      if (isLast) return;
    }
  }

  #ask(flows: readonly Flow[]): void {
    const isIPv6 = ({ client }: Flow) => client.address.includes(":");
    this.#askBy(
      AF_INET,
      flows.filter((flow) => !isIPv6(flow)),
    );
    this.#askBy(AF_INET6, flows.filter(isIPv6));
  }

  /** A packet that is not taken is one client that is not woken. */
  #askBy(family: number, flows: readonly Flow[]): void {
    if (flows.length === 0) return;
    const { socket, sendto, close } = this.#library;
    const fd = socket(family, SOCK_RAW_CLOEXEC, IPPROTO_RAW);
    if (fd < 0) throw new SystemError(`no raw socket: errno ${koffi.errno()}`);
    try {
      for (const flow of flows) {
        const { packet, to } = questionOf(flow);
        sendto(fd, packet, packet.length, MSG_DONTWAIT, to, to.length);
      }
    } finally {
      close(fd);
    }
  }

  async #send(messages: Buffer): Promise<void> {
    // The kernel does all of the work of deletions within this call: off the event loop.
    const sent = await called(this.#library.send, this.#fd, messages, messages.length, 0);
    if (sent !== messages.length) throw new SystemError("netlink messages were not taken");
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
    await this.#send(messages);
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

/** What is asked for, and whose flows are taken: one by one, but of IPv6 once for all, as the kernel cannot tell those apart. */
function* listsOf(addresses: readonly string[]): Generator<[string, ReadonlySet<string>]> {
  const isIPv6 = (address: string) => address.includes(":");
  for (const address of addresses) if (!isIPv6(address)) yield [address, new Set([address])];
  const others = addresses.filter(isIPv6);
  if (others[0] !== undefined) yield [others[0], new Set(others)];
}

function called(call: AsyncCall, ...args: unknown[]): Promise<number> {
  return new Promise((resolve, reject) => {
    call.async(...args, (error: Error | null, result: number) =>
      error === null ? resolve(result) : reject(error),
    );
  });
}

function load(): Library {
  const library = koffi.load("libc.so.6");
  return {
    socket: library.func("int socket(int domain, int type, int protocol)"),
    close: library.func("int close(int fd)"),
    send: library.func("long send(int fd, const uint8_t *buf, size_t len, int flags)"),
    sendto: library.func(
      "long sendto(int fd, const uint8_t *buf, size_t len, int flags, const uint8_t *to, uint32_t tolen)",
    ),
    recv: library.func("long recv(int fd, _Out_ uint8_t *buf, size_t len, int flags)"),
  };
}
