/** Files that are either the old text or the new one, whatever happens in between. */
import { closeSync, fchmodSync, fsyncSync, openSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/** Durable when it returns: the file and the directory entry are synced. */
export function writeFileAtomic(path: string, text: string, mode = 0o600): void {
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
