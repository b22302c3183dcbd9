/**
 * Whether what this host sends into the tunnel has right checksums. Links that compute them for a packet within a packet, and
 * do it wrongly, are a known fault: pings pass, whose checksums are made in software, and TCP and UDP are dropped by who gets
 * them. So a datagram is sent twice to a port of the peer's that nobody has: with the checksum that the kernel or its link
 * makes, and without any, which UDP allows. Both are refused where all is well. If only the second is, the first was dropped for
 * its checksum. If neither is, a firewall is silent, and nothing can be told.
 */
import koffi from "koffi";
import { type Clock, delay } from "../base/clock.ts";
import { SystemError } from "../base/errors.ts";

const AF_INET = 2;
const SOCK_DGRAM_NONBLOCK_CLOEXEC = 2 | 0o4000 | 0o2000000;
const SOL_SOCKET = 1;
const SO_NO_CHECK = 11;
const EAGAIN = 11;
/** Of TCP port service multiplexing, which no host has in UDP, and nobody publishes. */
const UNUSED_PORT = 1;
/** The refusal is there within a round trip; it is looked for so often, and so long. */
const LOOK_MS = 100;
const LOOKS = 10;
/** Hosts refuse once in a second, for each who asks. */
const REFUSAL_MS = 1_100;

/** Whether one datagram to this address was refused. */
export type AskRefusal = (address: string, checksum: boolean) => Promise<boolean>;

/** True and false as above; undefined where it cannot be told. */
export async function checksumsArrive(
  address: string,
  clock: Clock,
  isRefused: AskRefusal = refusal(clock),
): Promise<boolean | undefined> {
  if (await isRefused(address, true)) return true;
  await delay(clock, "checksum probe", REFUSAL_MS);
  if (!(await isRefused(address, false))) return undefined;
  await delay(clock, "checksum probe", REFUSAL_MS);
  return await isRefused(address, true);
}

function refusal(clock: Clock): AskRefusal {
  return async (address, checksum) => {
    const { socket, setsockopt, connect, send, recv, close } = (library ??= load());
    const fd = socket(AF_INET, SOCK_DGRAM_NONBLOCK_CLOEXEC, 0);
    if (fd < 0) throw new SystemError(`no socket: errno ${koffi.errno()}`);
    try {
      const on = Buffer.from(new Int32Array([1]).buffer);
      if (!checksum) setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, on, on.length);
      const to = socketAddress(address);
      if (connect(fd, to, to.length) !== 0 || send(fd, Buffer.alloc(1), 1, 0) < 0) return false;
      for (let look = 0; look < LOOKS; look += 1) {
        await delay(clock, "checksum probe", LOOK_MS);
        if (recv(fd, Buffer.alloc(1), 1, 0) >= 0 || koffi.errno() !== EAGAIN) return true;
      }
      return false;
    } finally {
      close(fd);
    }
  };
}

/** struct sockaddr_in, whose family is in the host's order of bytes. */
function socketAddress(address: string): Buffer {
  const family = Buffer.from(new Uint16Array([AF_INET]).buffer);
  const bytes = address.split(".").map(Number);
  return Buffer.from([
    ...family,
    UNUSED_PORT >> 8,
    UNUSED_PORT & 0xff,
    ...bytes,
    ...Array(8).fill(0),
  ]);
}

interface Library {
  readonly socket: (family: number, type: number, protocol: number) => number;
  readonly setsockopt: (
    fd: number,
    level: number,
    name: number,
    value: Buffer,
    length: number,
  ) => number;
  readonly connect: (fd: number, address: Buffer, length: number) => number;
  readonly send: (fd: number, bytes: Buffer, length: number, flags: number) => number;
  readonly recv: (fd: number, bytes: Buffer, length: number, flags: number) => number;
  readonly close: (fd: number) => number;
}

let library: Library | undefined;

function load(): Library {
  const libc = koffi.load("libc.so.6");
  return {
    socket: libc.func("int socket(int family, int type, int protocol)"),
    setsockopt: libc.func(
      "int setsockopt(int fd, int level, int name, const void *value, uint32_t length)",
    ),
    connect: libc.func("int connect(int fd, const void *address, uint32_t length)"),
    send: libc.func("int64_t send(int fd, const void *bytes, size_t length, int flags)"),
    recv: libc.func("int64_t recv(int fd, void *bytes, size_t length, int flags)"),
    close: libc.func("int close(int fd)"),
  };
}
