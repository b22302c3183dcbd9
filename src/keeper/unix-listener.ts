/**
 * Unix sockets in the file system: a dead program's file is replaced, a live one's never. The socket is
 * bound beside its place and renamed into it, so that the place is never empty and whoever closes a
 * copy of the socket does not take the file away.
 */
import { chmod, mkdir, rename, unlink } from "node:fs/promises";
import { connect, type Server } from "node:net";
import { dirname } from "node:path";
import { ConflictError } from "../base/errors.ts";

export interface UnixListenInit {
  readonly path: string;
  /** What listens, for the message when the place is taken. */
  readonly what: string;
  /** Of the directory, when it has to be made. */
  readonly directoryMode: number;
  /** Takes the place of whoever listens there, which knows. */
  readonly replace?: boolean;
}

export async function listenUnix(server: Server, init: UnixListenInit): Promise<void> {
  const { path } = init;
  await mkdir(dirname(path), { recursive: true, mode: init.directoryMode });
  if (init.replace !== true && (await answers(path))) {
    throw new ConflictError(`${path} is served by another process: ${init.what} runs only once`);
  }
  const beside = `${path}.${process.pid}`;
  await unlink(beside).catch(() => {});
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(beside, () => {
      server.off("error", reject);
      // Accepting can fail for want of file descriptors; whoever connects tries again.
      server.on("error", () => {});
      resolve();
    });
  });
  await chmod(beside, 0o600);
  await rename(beside, path);
}

/** Whether somebody accepts connections at the path. */
export function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

export function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    if (!server.listening) return resolve();
    server.close(() => resolve());
  });
}
