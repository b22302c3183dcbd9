/**
 * The system's C library, called in process: for sockets that Node.js has no words for, and for other network namespaces.
 * Each call answers as the kernel itself does: with what it was called for, or with an errno, negative.
 */

import { constants } from "node:os";
import koffi from "koffi";
import { SystemError } from "./errors.ts";

/** For a call that failed and left no errno. */
const { EIO } = constants.errno;

/** As in their manual pages, without the lengths, which the buffers have. */
export interface Libc {
  readonly socket: (family: number, type: number, protocol: number) => number;
  readonly close: (fd: number) => number;
  readonly setsockopt: (fd: number, level: number, name: number, value: number) => number;
  readonly getsockopt: (fd: number, level: number, name: number, value: Buffer) => number;
  readonly bind: (fd: number, to: Buffer) => number;
  readonly connect: (fd: number, to: Buffer) => number;
  readonly send: (fd: number, bytes: Buffer, flags: number) => number;
  readonly sendto: (fd: number, bytes: Buffer, flags: number, to: Buffer) => number;
  readonly recv: (fd: number, into: Buffer, flags: number) => number;
  readonly setns: (fd: number, kind: number) => number;
  /** The index of the link with that name, in the network namespace of this process. */
  readonly if_nametoindex: (name: string) => number;
  /** Off the event loop; which errno it was, another thread knows: −1. */
  readonly sendAside: (fd: number, bytes: Buffer, flags: number) => Promise<number>;
  /** Likewise. */
  readonly recvAside: (fd: number, into: Buffer, flags: number) => Promise<number>;
}

let loaded: Libc | undefined;

/** Loads the library when it is first asked for; throws where there is none. */
export function libc(): Libc {
  return (loaded ??= load());
}

/** What a call's negative answer means, after what could not be done. */
export class CallError extends SystemError {
  readonly errno: number;

  constructor(what: string, answer: number) {
    super(`${what}: errno ${-answer}`);
    this.errno = -answer;
  }
}

type Call = (...args: unknown[]) => number;
type LibraryCall = Call & { async(...args: unknown[]): void };

function load(): Libc {
  const library = koffi.load("libc.so.6");
  const found = (prototype: string): LibraryCall => library.func(prototype);
  const setsockopt = answering(
    found("int setsockopt(int fd, int level, int name, const uint8_t *value, uint32_t length)"),
  );
  const getsockopt = answering(
    found("int getsockopt(int fd, int level, int name, void *value, _Inout_ uint32_t *length)"),
  );
  const bind = answering(found("int bind(int fd, const uint8_t *to, uint32_t length)"));
  const connect = answering(found("int connect(int fd, const uint8_t *to, uint32_t length)"));
  const sendto = answering(
    found(
      "long sendto(int fd, const uint8_t *bytes, size_t n, int flags, const uint8_t *to, uint32_t length)",
    ),
  );
  const send = found("long send(int fd, const uint8_t *bytes, size_t n, int flags)");
  const recv = found("long recv(int fd, _Out_ uint8_t *into, size_t n, int flags)");
  const [sendNow, recvNow] = [answering(send), answering(recv)];
  return {
    socket: answering(found("int socket(int family, int type, int protocol)")),
    close: answering(found("int close(int fd)")),
    setsockopt: (fd, level, name, value) => {
      const bytes = Buffer.from(new Int32Array([value]).buffer);
      return setsockopt(fd, level, name, bytes, bytes.length);
    },
    getsockopt: (fd, level, name, value) => getsockopt(fd, level, name, value, [value.length]),
    bind: (fd, to) => bind(fd, to, to.length),
    connect: (fd, to) => connect(fd, to, to.length),
    send: (fd, bytes, flags) => sendNow(fd, bytes, bytes.length, flags),
    sendto: (fd, bytes, flags, to) => sendto(fd, bytes, bytes.length, flags, to, to.length),
    recv: (fd, into, flags) => recvNow(fd, into, into.length, flags),
    setns: answering(found("int setns(int fd, int kind)")),
    // An index is never 0: that is how it says that there is no such link.
    if_nametoindex: found("unsigned int if_nametoindex(const char *name)"),
    sendAside: (fd, bytes, flags) => aside(send, fd, bytes, bytes.length, flags),
    recvAside: (fd, into, flags) => aside(recv, fd, into, into.length, flags),
  };
}

/** The errno is looked at before anything else is called. */
function answering(call: Call): Call {
  return (...args) => {
    const answer = call(...args);
    return answer < 0 ? -(koffi.errno() || EIO) : answer;
  };
}

function aside(call: LibraryCall, ...args: unknown[]): Promise<number> {
  return new Promise((resolve, reject) => {
    call.async(...args, (error: Error | null, answer: number) =>
      error === null ? resolve(answer) : reject(error),
    );
  });
}
