/**
 * One process per data directory and one per network namespace. Both locks are the kernel's and end with
 * the process, however it ends, so nothing stale is ever left to clean.
 */
import { mkdirSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { ConflictError, messageOf } from "./errors.ts";

export interface Lock {
  release(): void;
}

/** An exclusive lock on a file, by SQLite's own file locking. Throws ConflictError with `refusal` when another has it. */
export function lockFile(path: string, refusal: string): Lock {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    database.exec("PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    if (!messageOf(error).includes("locked")) throw error;
    throw new ConflictError(refusal, { cause: error });
  }
  return { release: () => database.close() };
}

/** An exclusive name in this network namespace, by an abstract unix socket. Throws ConflictError with `refusal`. */
export function lockNetworkNamespace(name: string, refusal: string): Promise<Lock> {
  return new Promise((resolve, reject) => {
    const server: Server = createServer((socket) => socket.destroy());
    server.unref();
    server.once("error", (error: NodeJS.ErrnoException) =>
      reject(error.code === "EADDRINUSE" ? new ConflictError(refusal, { cause: error }) : error),
    );
    server.listen(`\0${name}`, () => resolve({ release: () => void server.close() }));
  });
}
