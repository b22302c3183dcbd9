/**
 * Conntrack by the kernel's own interface, in process: the `conntrack` tool copies the whole table out for each look,
 * which with some ten thousand connections took seconds on a busy host.
 *
 * To list by a filter, and to delete by one, the kernel walks over its table, which all namespaces share: 20 ms and more for one
 * of the usual size, be it empty. So nothing is asked where there are no flows; where there are few, one list is all,
 * and what is found is deleted by name; where there are many, each address is a walk, and nothing is copied out in vain.
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
  flowCountIn,
  type ListedFlow,
  listedFlow,
  listPartOf,
  openFlowOf,
} from "./listed-flows.ts";
import {
  AF_UNSPEC,
  candidatesMessage,
  countMessage,
  deletionMessage,
  flowDeletionMessage,
  isByAddress6,
  listAllMessage6,
  listLedMessage,
  listMessage,
  matcherOf,
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
const FLOWS_A_WALK = 4_000;
const ENOENT = 2;

/** Runs `work` in the network namespace that is meant; a socket that is made there belongs to it. */
type Within = <T>(work: () => T) => T;

/** Whether this kernel deletes by a filter, which came with Linux 6.3; undefined until it is first to. */
let isFiltering: boolean | undefined;
/** No flow's replies come from here. */
const NOTHING: Forget = { kind: "half-open-to", address: "0.0.0.0" };

/**
 * Throws where the library or the kernel cannot. `within` for another namespace than the host's; `flowsAWalk`: how many
 * flows are copied out at the price of one walk over the table.
 */
export async function openConntrackSocket(
  within: Within = (work) => work(),
  flowsAWalk = FLOWS_A_WALK,
): Promise<Conntrack> {
  const library = libc();
  const fd = within(() => openNetlinkSocket(library));
  const conntrack = new ConntrackSocket(library, fd, within, flowsAWalk);
  try {
    await conntrack.tryOut();
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
  readonly #flowsAWalk: number;
  #sequence = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(library: Libc, fd: number, within: Within, flowsAWalk: number) {
    this.#libc = library;
    this.#fd = fd;
    this.#within = within;
    this.#flowsAWalk = flowsAWalk;
  }

  /** Throws where nobody answers. */
  async tryOut(): Promise<void> {
    await this.#exclusively(async () => void (await this.#count()));
  }

  async forget(forget: readonly Forget[]): Promise<void> {
    if (forget.length === 0) return;
    await this.#exclusively(async () => {
      const count = await this.#count();
      if (count > 0) await this.#forgetAll(forget, count);
    });
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
    if (addresses.length === 0) return [];
    const wanted = new Set(addresses);
    const flows: Flow[] = [];
    const decode = openFlowOf(protocol);
    await this.#exclusively(async () => {
      const count = await this.#count();
      const each = listsOf(protocol, addresses);
      const isFew = each.length > 1 && count <= this.#flowsAWalk * each.length;
      for (const listOf of count === 0 ? [] : isFew ? [listLedMessage] : each) {
        for await (const part of this.#parts(listOf(this.#nextSequence()), decode)) {
          // What is beyond the bound is read too, or the next answer would be of this list.
          if (flows.length < max)
            flows.push(...part.filter(({ task }) => wanted.has(task.address)));
        }
      }
    });
    return flows.slice(0, max);
  }

  /** How many flows the namespace has, of whatever kind. */
  async #count(): Promise<number> {
    const sequence = this.#nextSequence();
    // The kernel has one lock for all who ask it of conntrack, and whoever walks its table has it for long.
    await this.#send(countMessage(sequence));
    return this.#answerTo((answer) => flowCountIn(answer, sequence));
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

  async #forgetAll(forget: readonly Forget[], count: number): Promise<void> {
    const listed = forget.filter(isByAddress6);
    const walks = forget.length - listed.length + (listed.length > 0 ? 1 : 0);
    const isFew = count <= this.#flowsAWalk * walks;
    if (isFew || !(await this.#filters())) return await this.#deleteListed(forget, AF_UNSPEC);
    const filtered = forget.filter((one) => !isByAddress6(one));
    await this.#delete(filtered, deletionMessage, []);
    if (listed.length > 0) await this.#deleteListed(listed, AF_INET6);
  }

  /** Asked once, by a deletion of nothing. */
  async #filters(): Promise<boolean> {
    isFiltering ??= await this.#delete([NOTHING], deletionMessage, []).then(
      () => true,
      () => false,
    );
    return isFiltering;
  }

  async #deleteListed(
    forget: readonly Forget[],
    family: typeof AF_INET6 | typeof AF_UNSPEC,
  ): Promise<void> {
    const isForgotten = matcherOf(forget);
    const list = candidatesMessage(forget, family, this.#nextSequence());
    const flows: ListedFlow[] = [];
    for await (const part of this.#parts(list, listedFlow)) flows.push(...part.filter(isForgotten));
    // A flow may end between being listed and being deleted.
    await this.#delete(flows, flowDeletionMessage, [ENOENT]);
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
    return this.#answerTo((answer) => errnoOf(answer, sequence));
  }

  /** What is made of the answer that is meant; undefined is for another's. */
  #answerTo<T>(decode: (answer: Buffer) => T | undefined): T {
    for (let read = 0; read < STRANGE_ANSWERS_MAX; read++) {
      const answer = Buffer.alloc(ANSWER_BYTES_MAX);
      const length = this.#libc.recv(this.#fd, answer, MSG_DONTWAIT);
      if (length < 0) throw new CallError("no answer from conntrack", length);
      const decoded = decode(answer.subarray(0, length));
      if (decoded !== undefined) return decoded;
    }
    throw new SystemError("conntrack answers others only");
  }
}

type ListOf = (sequence: number) => Buffer;

/** The lists that have the flows to these addresses in them: one for each of IPv4, and once all of IPv6, as the kernel cannot tell those apart. */
function listsOf(protocol: "tcp" | "udp", addresses: readonly string[]): readonly ListOf[] {
  const { ipv4, ipv6 } = byFamily(addresses);
  const lists = ipv4.map(
    (address): ListOf =>
      (sequence) =>
        listMessage(protocol, address, sequence),
  );
  const all6: ListOf = (sequence) => listAllMessage6(protocol, sequence);
  return ipv6.length > 0 ? [...lists, all6] : lists;
}
