/**
 * A container's network namespace, worked in by the host's process: sockets and rules are made between two calls of
 * setns on the main thread. Nothing may wait in between, or start a thread, which would be left behind there.
 */
import { closeSync, openSync, statfsSync } from "node:fs";
import { SystemError } from "../../base/errors.ts";

/** From the kernel's headers, for Linux on x86 and ARM alike. */
const AF_INET = 2;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_FLAGS = 0o4000 | 0o2000000; // SOCK_NONBLOCK, SOCK_CLOEXEC
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_REUSEPORT = 15;
const CLONE_NEWNET = 0x40000000;
const EINPROGRESS = 115;
const EADDRINUSE = 98;

type Call = (...args: unknown[]) => number;

interface SystemCalls {
  readonly setns: Call;
  readonly socket: Call;
  readonly setsockopt: Call;
  readonly bind: Call;
  readonly connect: Call;
  readonly close: Call;
  readonly errno: () => number;
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
  const { default: koffi } = await import("koffi");
  const libc = koffi.load("libc.so.6");
  const setsockopt =
    "int setsockopt(int fd, int level, int name, const uint8_t *value, uint32_t n)";
  calls = {
    setns: libc.func("int setns(int fd, int kind)"),
    socket: libc.func("int socket(int domain, int type, int protocol)"),
    setsockopt: libc.func(setsockopt),
    bind: libc.func("int bind(int fd, const uint8_t *address, uint32_t length)"),
    connect: libc.func("int connect(int fd, const uint8_t *address, uint32_t length)"),
    close: libc.func("int close(int fd)"),
    errno: () => koffi.errno(),
    nft: nftCommand(koffi),
  };
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
      const address = socketAddress(to);
      if (this.#calls.connect(fd, address, address.length) === 0) return fd;
      if (this.#calls.errno() === EINPROGRESS) return fd;
      throw this.#failed("connect", fd);
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
      if ((error as { errno?: number }).errno === EADDRINUSE) return undefined;
      throw error;
    }
  }

  #bound(type: number, place: SocketPlace): number {
    const { socket, setsockopt, bind } = this.#calls;
    const fd = socket(AF_INET, type | SOCK_FLAGS, 0);
    if (fd < 0) throw this.#failed("socket");
    const on = Buffer.from([1, 0, 0, 0]);
    const options = place.port === 0 ? [] : [SO_REUSEADDR, SO_REUSEPORT];
    for (const option of options) {
      if (setsockopt(fd, SOL_SOCKET, option, on, on.length) !== 0)
        throw this.#failed("setsockopt", fd);
    }
    const address = socketAddress(place);
    if (bind(fd, address, address.length) !== 0) throw this.#failed("bind", fd);
    return fd;
  }

  #failed(call: string, fd?: number): Error {
    const errno = this.#calls.errno();
    if (fd !== undefined) this.#calls.close(fd);
    return Object.assign(new SystemError(`${call} in ${this.#path}: errno ${errno}`), { errno });
  }

  #within<T>(work: () => T): T {
    const target = openSync(this.#path, "r");
    const own = openSync("/proc/thread-self/ns/net", "r");
    try {
      if (this.#calls.setns(target, CLONE_NEWNET) !== 0) throw this.#failed("setns");
      try {
        return work();
      } finally {
        // A keeper in a container's namespace would hold the wrong host's ports.
        if (this.#calls.setns(own, CLONE_NEWNET) !== 0) process.abort();
      }
    } finally {
      closeSync(target);
      closeSync(own);
    }
  }
}

/** A sockaddr_in. */
function socketAddress({ address, port }: SocketPlace): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt16LE(AF_INET, 0);
  bytes.writeUInt16BE(port, 2);
  for (const [at, part] of address.split(".").entries()) bytes[4 + at] = Number(part);
  return bytes;
}
