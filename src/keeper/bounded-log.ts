/** Keeps the keeper's log file small, whoever opened it: the keeper outlives everybody who could rotate it. */
import { copyFileSync, fstatSync, ftruncateSync, readlinkSync, writeSync } from "node:fs";

/** At this size the file is copied to `.1`, over the copy before, and begins anew. */
export const LOG_BYTES_MAX = 1024 * 1024;

const STDERR = 2;

/** Writes log lines to stderr; when that is a file (opened for appending), never more than the bound. */
export function boundedStderr(): (line: string) => void {
  const file = fstatSync(STDERR).isFile();
  return (line) => {
    try {
      if (file && fstatSync(STDERR).size + line.length > LOG_BYTES_MAX) {
        const path = readlinkSync(`/proc/self/fd/${STDERR}`);
        copyFileSync(path, `${path}.1`);
        ftruncateSync(STDERR, 0);
      }
      writeSync(STDERR, line);
    } catch {
      // A full disk or a closed terminal must not end the keeper.
    }
  };
}
