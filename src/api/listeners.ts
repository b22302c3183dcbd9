/**
 * The sockets that the API answers on. A unix socket is root's and the `docker` group's; TCP is only ever
 * TLS with client certificates, because whoever may speak here is root on this host.
 */
import { chmodSync, chownSync, lstatSync, mkdirSync, readFileSync, unlinkSync } from "node:fs";
import type { Server } from "node:http";
import { connect, type ListenOptions } from "node:net";
import { dirname } from "node:path";
import { ConflictError, messageOf, SystemError } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import type { HostAddress } from "./address.ts";

const SOCKET_MODE = 0o660;
const SOCKET_GROUP = "docker";

/** Listens on a unix socket; a file left by a dead daemon is replaced, a living daemon's is not. */
export async function listenUnix(server: Server, path: string, log: Logger): Promise<void> {
  mkdirSync(dirname(path), { recursive: true });
  await removeStaleSocket(path);
  // Nobody may connect between the file's birth and its mode.
  const umask = process.umask(0o177);
  try {
    const listening = listen(server, { path });
    process.umask(umask);
    await listening;
  } finally {
    process.umask(umask);
  }
  const gid = groupID(SOCKET_GROUP);
  if (gid === undefined) {
    log.info("there is no docker group on this host, so the API socket is root's alone", { path });
  } else {
    chownSync(path, 0, gid);
  }
  chmodSync(path, SOCKET_MODE);
}

/** Listens on TCP. */
export function listenTcp(
  server: Server,
  address: Extract<HostAddress, { kind: "tcp" }>,
): Promise<void> {
  return listen(server, { host: address.host, port: address.port });
}

/** The group's number by /etc/group, where there is one. */
export function groupID(name: string, groupFile = "/etc/group"): number | undefined {
  let text: string;
  try {
    text = readFileSync(groupFile, "utf8");
  } catch {
    return undefined;
  }
  const line = text.split("\n").find((entry) => entry.startsWith(`${name}:`));
  const gid = Number(line?.split(":")[2]);
  return line !== undefined && Number.isInteger(gid) ? gid : undefined;
}

function listen(server: Server, options: ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(options, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

async function removeStaleSocket(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new SystemError(
      `${path} is there and is no socket: move it away, or choose another host`,
    );
  }
  if (await isAnswered(path)) {
    throw new ConflictError(`another weft daemon is running: unix://${path} is answered already`);
  }
  unlinkSync(path);
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = connect({ path });
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ECONNREFUSED" || error.code === "ENOENT") resolve(false);
      else reject(new SystemError(`cannot tell whether ${path} is in use: ${messageOf(error)}`));
    });
  });
}
