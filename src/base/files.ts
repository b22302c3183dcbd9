/** Files that are either the old text or the new one, whatever happens in between; and a disk that takes nothing, in words. */
import { closeSync, fchmodSync, fsyncSync, openSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { UnavailableError } from "./errors.ts";

/** What a disk that takes nothing says, and what is to be done. */
const REFUSALS: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full, make room",
  EDQUOT: "the disk quota is used up, make room",
  EROFS: "the file system is read-only",
};

/** A disk took nothing: whoever can go on without it does, and tries again. */
export class DiskRefusedError extends UnavailableError {}

/** What writing a file failed with: in plain words when the disk takes nothing, else as it was. */
export function writeFailure(path: string, error: unknown): unknown {
  const reason = REFUSALS[(error as NodeJS.ErrnoException | undefined)?.code ?? ""];
  if (reason === undefined || error instanceof DiskRefusedError) return error;
  return new DiskRefusedError(`cannot write ${path}: ${reason}`, { cause: error });
}

/** Durable when it returns: the file and the directory entry are synced. */
export function writeFileAtomic(path: string, text: string, mode = 0o600): void {
  try {
    replaceFile(path, text, mode);
  } catch (error) {
    throw writeFailure(path, error);
  }
}

function replaceFile(path: string, text: string, mode: number): void {
  const temporary = `${path}.new`;
  const file = openSync(temporary, "w", mode);
  try {
    // A crash may have left one with another mode.
    fchmodSync(file, mode);
    // Not one write: a disk that fills up takes a part, and says so only to the next.
    writeFileSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(temporary, path);
  const directory = openSync(dirname(path), "r");
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
