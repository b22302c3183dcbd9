/** The kernel's settings, named as their files are below /proc/sys. */
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { SystemError } from "../base/errors.ts";

const ROOT = "/proc/sys";

/**
 * Undefined when there is no such setting. Synchronous: the kernel answers at once, and a thread's help would cost ten
 * times what the reading does.
 */
export function readSysctl(path: string): string | undefined {
  try {
    return readFileSync(`${ROOT}/${path}`, "utf8").trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** The settings that exist, of those asked for. */
export function readSysctls(paths: Iterable<string>): Map<string, string> {
  const read = [...paths].map((path) => [path, readSysctl(path)] as const);
  return new Map(read.filter((one): one is [string, string] => one[1] !== undefined));
}

export async function writeSysctl(path: string, value: string): Promise<void> {
  try {
    await writeFile(`${ROOT}/${path}`, value);
  } catch (cause) {
    throw new SystemError(`cannot set ${path.replaceAll("/", ".")} to ${value}`, { cause });
  }
}
