/**
 * A container's network namespace, worked in by the host's process: sockets and rules are made between two calls of
 * setns on the main thread. Nothing may wait in between, or start a thread, which would be left behind there.
 */
import { statfsSync } from "node:fs";
import { constants } from "node:os";
import { SystemError } from "../../base/errors.ts";
import type { CallError, Libc } from "../../base/libc.ts";
import {
  AF_INET,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  socketAddress,
} from "../../base/sockets.ts";

const SO_REUSEADDR = 2;
const SO_REUSEPORT = 15;
const { EADDRINUSE, EINPROGRESS } = constants.errno;

interface SystemCalls extends Libc {
  readonly CallError: typeof CallError;
  /** Runs what makes something in the network namespace of that file. */
  readonly within: <T>(path: string, work: () => T) => T;
  /** Runs a transaction of nft where the thread is; what it complains of, or nothing. */
  readonly nft: (transaction: string) => string;
}

/** An IPv4 address and port. */
export interface SocketPlace {
  readonly address: string;
  readonly port: number;
}

/** File descriptors of a datagram socket and of a stream socket, bound to one place. */
export interface ServingSockets {
  readonly port: number;
  readonly datagrams: number;
  readonly streams: number;
}

/** The file system of namespaces (linux/magic.h). */
const NSFS_MAGIC = 0x6e736673;

/** Whether the file names a namespace by now: the Engine names a container's when its process is made, after it has joined. */
export function isNamespace(path: string): boolean {
  try {
    return statfsSync(path).type === NSFS_MAGIC;
  } catch {
    return false;
  }
}

type Koffi = typeof import("koffi")["default"];

let calls: SystemCalls | undefined;

/** Only a keeper that has a container in a user's network carries the library in memory. */
async function systemCalls(): Promise<SystemCalls> {
  if (calls !== undefined) return calls;
  const { libc, CallError } = await import("../../base/libc.ts");
  const { inNetworkNamespace } = await import("../../base/netns.ts");
  const { default: koffi } = await import("koffi");
  calls = { ...libc(), CallError, within: inNetworkNamespace, nft: nftCommand(koffi) };
  return calls;
}

/** libnftables, which `nft` itself is made of: a process for it would take longer than a container's start may. */
function nftCommand(koffi: Koffi): SystemCalls["nft"] {
  const library = koffi.load("libnftables.so.1");
  const context = koffi.pointer("weft_nft", koffi.opaque());
  const create = library.func("nft_ctx_new", context, ["uint32_t"]);
  const free = library.func("nft_ctx_free", "void", [context]);
  const bufferError = library.func("nft_ctx_buffer_error", "int", [context]);
  const errorOf = library.func("nft_ctx_get_error_buffer", "str", [context]);
  const run = library.func("nft_run_cmd_from_buffer", "int", [context, "str"]);
  return (transaction) => {
    const nft: unknown = create(0);
    if (nft === null) return "nft_ctx_new failed";
    try {
      bufferError(nft);
      return run(nft, transaction) === 0 ? "" : String(errorOf(nft)).trim();
    } finally {
      free(nft);
    }
  };
}

export class ContainerNamespace {
  readonly #path: string;
  readonly #calls: SystemCalls;

  private constructor(path: string, system: SystemCalls) {
    this.#path = path;
    this.#calls = system;
  }

  /** Loads what is needed, so that no container's start waits for it. Rejects where it cannot be. */
  static async prepare(): Promise<void> {
    await systemCalls();
  }

  /** `path`: a file that names the namespace, as the Engine's sandbox key does. */
  static async at(path: string): Promise<ContainerNamespace> {
    return new ContainerNamespace(path, await systemCalls());
  }

  /** Bound at the first of these ports that is free for both; another keeper's sockets, which share, do not count. */
  serving(address: string, ports: Iterable<number>): ServingSockets {
    return this.#within(() => {
      for (const port of ports) {
        const sockets = this.#tryServing({ address, port });
        if (sockets !== undefined) return { port, ...sockets };
      }
      throw new SystemError(`no port is free at ${address} in ${this.#path}`);
    });
  }

  /** The kernel takes all of the transaction or none. */
  change(transaction: string): void {
    const complaint = this.#within(() => this.#calls.nft(transaction));
    if (complaint !== "") throw new SystemError(`nft in ${this.#path}: ${complaint}`);
  }

  /** A datagram socket, bound and not connected. */
  datagrams(from: string): number {
    return this.#within(() => this.#bound(SOCK_DGRAM, { address: from, port: 0 }));
  }

  /** A stream socket whose connection has begun. */
  stream(from: string, to: SocketPlace): number {
    return this.#within(() => {
      const fd = this.#bound(SOCK_STREAM, { address: from, port: 0 });
      const answer = this.#calls.connect(fd, socketAddress(to.address, to.port));
      if (answer === 0 || answer === -EINPROGRESS) return fd;
      throw this.#failed("connect", answer, fd);
    });
  }

  #tryServing(place: SocketPlace): { datagrams: number; streams: number } | undefined {
    const datagrams = this.#boundOrTaken(SOCK_DGRAM, place);
    if (datagrams === undefined) return undefined;
    const streams = this.#boundOrTaken(SOCK_STREAM, place);
    if (streams !== undefined) return { datagrams, streams };
    this.#calls.close(datagrams);
    return undefined;
  }

  #boundOrTaken(type: number, place: SocketPlace): number | undefined {
    try {
      return this.#bound(type, place);
    } catch (error) {
      if (error instanceof this.#calls.CallError && error.errno === EADDRINUSE) return undefined;
      throw error;
    }
  }

  #bound(type: number, { address, port }: SocketPlace): number {
    const { socket, setsockopt, bind } = this.#calls;
    const fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) throw this.#failed("socket", fd);
    const options = port === 0 ? [] : [SO_REUSEADDR, SO_REUSEPORT];
    for (const option of options) {
      const set = setsockopt(fd, SOL_SOCKET, option, 1);
      if (set < 0) throw this.#failed("setsockopt", set, fd);
    }
    const bound = bind(fd, socketAddress(address, port));
    if (bound < 0) throw this.#failed("bind", bound, fd);
    return fd;
  }

  #failed(call: string, answer: number, fd?: number): CallError {
    if (fd !== undefined) this.#calls.close(fd);
    return new this.#calls.CallError(`${call} in ${this.#path}`, answer);
  }

  #within<T>(work: () => T): T {
    return this.#calls.within(this.#path, work);
  }
}
