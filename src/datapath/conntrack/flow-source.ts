/** Flows as the kernel's conntrack tells of them: a list of those that are there, and the end of each. */
import { constants } from "node:os";
import { SystemError } from "../../base/errors.ts";
import { CallError, type Libc, libc } from "../../base/libc.ts";
import { MSG_DONTWAIT, SOL_SOCKET } from "../../base/sockets.ts";
import { type FlowCount, flowCountsOf } from "./flow-counts.ts";
import { listLedMessage } from "./messages.ts";
import { AF_NETLINK, openNetlinkSocket } from "./netlink-socket.ts";

export interface FlowSource {
  /** Flows that have ended since it was last asked, of so many at most; the rest of them keep. */
  ended(max: number): EndedFlows;
  /** All that are there now. */
  list(): Promise<readonly FlowCount[]>;
  close(): void;
}

export interface EndedFlows {
  readonly counts: readonly FlowCount[];
  /** Whether there may be more of them. */
  readonly isMore: boolean;
  /** Whether the kernel had to let go of some, as nobody read them in time. */
  readonly isLossy: boolean;
}

const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NFNLGRP_CONNTRACK_DESTROY = 3;
const SO_RCVBUFFORCE = 33;
const { ENOBUFS } = constants.errno;
/** Some 6,000 ends that wait to be read; the kernel lets go of what does not fit, and says that it has. */
const ENDED_BYTES = 8 * 1_024 * 1_024;
/** A message is some 300 bytes. */
const EVENT_BYTES = 4_096;
/** The kernel fills what it is given, up to this. */
const LIST_BYTES = 32_768;

/** Throws where the library or the kernel cannot. */
export function openFlowSource(): FlowSource {
  const library = libc();
  const events = connectedSocket(library);
  library.setsockopt(events, SOL_SOCKET, SO_RCVBUFFORCE, ENDED_BYTES);
  const joined = library.setsockopt(
    events,
    SOL_NETLINK,
    NETLINK_ADD_MEMBERSHIP,
    NFNLGRP_CONNTRACK_DESTROY,
  );
  if (joined < 0) {
    library.close(events);
    throw new CallError("conntrack does not tell when flows end", joined);
  }
  return new FlowSocket(library, events, connectedSocket(library));
}

function connectedSocket(library: Libc): number {
  const fd = openNetlinkSocket(library);
  // To the kernel. By it the socket has a number of its own: one without is passed over when the kernel tells of something.
  library.connect(fd, THE_KERNEL);
  return fd;
}

/** struct sockaddr_nl, with process and groups 0. */
const THE_KERNEL = Buffer.alloc(12);
THE_KERNEL.set(new Uint8Array(new Uint16Array([AF_NETLINK]).buffer));

class FlowSocket implements FlowSource {
  readonly #libc: Libc;
  readonly #events: number;
  readonly #lists: number;
  readonly #event = Buffer.alloc(EVENT_BYTES);
  #sequence = 0;

  constructor(library: Libc, events: number, lists: number) {
    this.#libc = library;
    this.#events = events;
    this.#lists = lists;
  }

  ended(max: number): EndedFlows {
    const counts: FlowCount[] = [];
    let isLossy = false;
    for (let read = 0; read < max; read++) {
      const length = this.#libc.recv(this.#events, this.#event, MSG_DONTWAIT);
      if (length === -ENOBUFS) {
        isLossy = true;
        continue;
      }
      if (length < 0) return { counts, isMore: false, isLossy };
      counts.push(...flowCountsOf(this.#event.subarray(0, length)).counts);
    }
    return { counts, isMore: true, isLossy };
  }

  async list(): Promise<readonly FlowCount[]> {
    const listed: FlowCount[] = [];
    this.#sequence += 1;
    // Off the event loop: whoever walks the table holds the lock that this waits for.
    const sent = await this.#libc.sendAside(this.#lists, listLedMessage(this.#sequence), 0);
    if (sent < 0) throw new SystemError("conntrack lists no flows");
    const part = Buffer.alloc(LIST_BYTES);
    for (;;) {
      // With each call the kernel walks on through its table: off the event loop.
      const length = await this.#libc.recvAside(this.#lists, part, MSG_DONTWAIT);
      if (length < 0) throw new CallError("conntrack does not list its flows to the end", length);
      const { counts, isLast } = flowCountsOf(part.subarray(0, length));
      for (const count of counts) listed.push(count);
      if (isLast) return listed;
    }
  }

  close(): void {
    this.#libc.close(this.#events);
    this.#libc.close(this.#lists);
  }
}
