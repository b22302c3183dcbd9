/**
 * Whether what this host sends into the tunnel has right checksums. Links that compute them for a packet within a packet, and
 * do it wrongly, are a known fault: pings pass, whose checksums are made in software, and TCP and UDP are dropped by who gets
 * them. So a datagram is sent twice to a port of the peer's that nobody has: with the checksum that the kernel or its link
 * makes, and without any, which UDP allows. Both are refused where all is well. If only the second is, the first was dropped for
 * its checksum. If neither is, a firewall is silent, and nothing can be told.
 */
import { constants } from "node:os";
import { type Clock, delay } from "../base/clock.ts";
import { CallError, libc } from "../base/libc.ts";
import {
  AF_INET,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOL_SOCKET,
  socketAddress,
} from "../base/sockets.ts";

const SO_NO_CHECK = 11;
/** Of TCP port service multiplexing, which no host has in UDP, and nobody publishes. */
const UNUSED_PORT = 1;
/** The refusal is there within a round trip; it is looked for so often, and so long. */
const LOOK_MS = 100;
const LOOKS = 10;
/** Hosts refuse once in a second, for each who asks. */
const REFUSAL_MS = 1_100;

/** Whether one datagram to this address was refused. */
export type AskRefusal = (address: string, checksum: boolean) => Promise<boolean>;

/** True and false as above; undefined where it cannot be told. Rejects when the signal ends it. */
export async function checksumsArrive(
  address: string,
  clock: Clock,
  signal?: AbortSignal,
  isRefused: AskRefusal = refusal(clock, signal),
): Promise<boolean | undefined> {
  if (await isRefused(address, true)) return true;
  await delay(clock, "checksum probe", REFUSAL_MS, signal);
  if (!(await isRefused(address, false))) return undefined;
  await delay(clock, "checksum probe", REFUSAL_MS, signal);
  return await isRefused(address, true);
}

function refusal(clock: Clock, signal: AbortSignal | undefined): AskRefusal {
  return async (address, checksum) => {
    const { socket, setsockopt, connect, send, recv, close } = libc();
    const fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) throw new CallError("no socket", fd);
    try {
      if (!checksum) setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, 1);
      if (connect(fd, socketAddress(address, UNUSED_PORT)) < 0) return false;
      if (send(fd, Buffer.alloc(1), 0) < 0) return false;
      for (let look = 0; look < LOOKS; look += 1) {
        await delay(clock, "checksum probe", LOOK_MS, signal);
        if (recv(fd, Buffer.alloc(1), 0) !== -constants.errno.EAGAIN) return true;
      }
      return false;
    } finally {
      close(fd);
    }
  };
}
