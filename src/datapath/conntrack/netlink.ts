/**
 * Conntrack by the kernel's own interface, in process: one message for each thing to forget, many to a call. The `conntrack` tool
 * copies the whole table out for each look, which with some ten thousand connections took seconds on a busy host.
 */

import { SystemError } from "../../base/errors.ts";
import { byFamily } from "../../base/ip-address.ts";
import { CallError, type Libc, libc } from "../../base/libc.ts";
import { AF_INET, AF_INET6, MSG_DONTWAIT, SOCK_CLOEXEC, SOCK_RAW } from "../../base/sockets.ts";
import type { Conntrack } from "./conntrack.ts";
import { errnoOf } from "./ctnetlink.ts";
import type { Forget } from "./forget.ts";
import {
  type DecodeFlow,
  type Flow,
  type ListedFlow,
  listedFlow,
  listPartOf,
  openFlow,
} from "./listed-flows.ts";
import {
  deletionMessage,
  type ForgetTo,
  flowDeletionMessage6,
  isByAddress6,
  listMessage,
  listMessage6,
} from "./messages.ts";
import { openNetlinkSocket } from "./netlink-socket.ts";
import { questionOf } from "./question.ts";

const IPPROTO_RAW = 255;
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
const ENOENT = 2;

/** Runs `work` in the network namespace that is meant; a socket that is made there belongs to it. */
type Within = <T>(work: () => T) => T;

/** Throws where the library or the kernel cannot: deleting by a filter came with Linux 6.3. `within` for another namespace than the host's. */
export async function openConntrackSocket(within: Within = (work) => work()): Promise<Conntrack> {
  const library = libc();
  const fd = within(() => openNetlinkSocket(library));
  const conntrack = new ConntrackSocket(library, fd, within);
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
  readonly #libc: Libc;
  readonly #fd: number;
  readonly #within: Within;
  #sequence = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(library: Libc, fd: number, within: Within) {
    this.#libc = library;
    this.#fd = fd;
    this.#within = within;
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
    this.#libc.close(this.#fd);
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
        const list = listMessage(protocol, asked, this.#nextSequence());
        for await (const part of this.#parts(list, openFlow)) {
          // What is beyond the bound is read too, or the next answer would be of this list.
          if (flows.length < max)
            flows.push(...part.filter(({ task }) => wanted.has(task.address)));
        }
      }
    });
    return flows.slice(0, max);
  }

  /** Answers to a list, which has the last sequence number. */
  async *#parts<T>(list: Buffer, decode: DecodeFlow<T>): AsyncGenerator<readonly T[]> {
    await this.#send(list);
    for (;;) {
      const answer = Buffer.alloc(LIST_BYTES);
      // With each call the kernel walks on through its table: off the event loop.
      const length = await this.#libc.recvAside(this.#fd, answer, MSG_DONTWAIT);
      if (length < 0) throw new SystemError("conntrack does not list its flows to the end");
      const part = listPartOf(answer.subarray(0, length), this.#sequence, decode);
      yield part.flows;
      if (part.isLast) return;
    }
  }

  #nextSequence(): number {
    this.#sequence += 1;
    return this.#sequence;
  }

  #ask(flows: readonly Flow[]): void {
    const { ipv4, ipv6 } = byFamily(flows, ({ client }) => client.address);
    this.#askBy(AF_INET, ipv4);
    this.#askBy(AF_INET6, ipv6);
  }

  /** A packet that is not taken is one client that is not woken. */
  #askBy(family: number, flows: readonly Flow[]): void {
    if (flows.length === 0) return;
    const { socket, sendto, close } = this.#libc;
    const fd = this.#within(() => socket(family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
    if (fd < 0) throw new CallError("no raw socket", fd);
    try {
      for (const flow of flows) {
        const { packet, to } = questionOf(flow);
        sendto(fd, packet, MSG_DONTWAIT, to);
      }
    } finally {
      close(fd);
    }
  }

  async #send(messages: Buffer): Promise<void> {
    // The kernel does all of the work of deletions within this call: off the event loop.
    const sent = await this.#libc.sendAside(this.#fd, messages, 0);
    if (sent !== messages.length) throw new SystemError("netlink messages were not taken");
  }

  async #forgetAll(forget: readonly Forget[]): Promise<void> {
    const filtered = forget.filter((one) => !isByAddress6(one));
    await this.#delete(filtered, deletionMessage, []);
    for (const [kind, addresses] of addressesByKind(forget.filter(isByAddress6))) {
      // A flow may end between being listed and being deleted.
      await this.#delete(await this.#flowsTo(kind, addresses), flowDeletion, [ENOENT]);
    }
  }

  async #flowsTo(
    kind: ForgetTo["kind"],
    addresses: ReadonlySet<string>,
  ): Promise<readonly ListedFlow[]> {
    const flows: ListedFlow[] = [];
    for await (const part of this.#parts(listMessage6(kind, this.#nextSequence()), listedFlow)) {
      flows.push(...part.filter(({ answersFrom }) => addresses.has(answersFrom)));
    }
    return flows;
  }

  /** Many to a call: the kernel takes one message after the other out of one buffer, and answers each. */
  async #delete<T>(
    all: readonly T[],
    messageOf: (one: T, sequence: number) => Buffer,
    expected: readonly number[],
  ): Promise<void> {
    for (let done = 0; done < all.length; done += DELETIONS_MAX) {
      const first = this.#sequence + 1;
      const messages = all
        .slice(done, done + DELETIONS_MAX)
        .map((one) => messageOf(one, this.#nextSequence()));
      await this.#send(Buffer.concat(messages));
      const errno = this.#answers(first).find((each) => each !== 0 && !expected.includes(each));
      if (errno !== undefined) throw new SystemError(`conntrack refuses to forget: errno ${errno}`);
    }
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
      const length = this.#libc.recv(this.#fd, answer, MSG_DONTWAIT);
      if (length < 0) throw new CallError("no answer from conntrack", length);
      const errno = errnoOf(answer.subarray(0, length), sequence);
      if (errno !== undefined) return errno;
    }
    throw new SystemError("conntrack answers others only");
  }
}

function flowDeletion({ tuple }: ListedFlow, sequence: number): Buffer {
  return flowDeletionMessage6(tuple, sequence);
}

function addressesByKind(forget: readonly ForgetTo[]): Map<ForgetTo["kind"], Set<string>> {
  const found = new Map<ForgetTo["kind"], Set<string>>();
  for (const { kind, address } of forget) {
    found.set(kind, (found.get(kind) ?? new Set()).add(address));
  }
  return found;
}

/** What is asked for, and whose flows are taken: one by one, but of IPv6 once for all, as the kernel cannot tell those apart. */
function* listsOf(addresses: readonly string[]): Generator<[string, ReadonlySet<string>]> {
  const { ipv4, ipv6 } = byFamily(addresses);
  for (const address of ipv4) yield [address, new Set([address])];
  if (ipv6[0] !== undefined) yield [ipv6[0], new Set(ipv6)];
}
