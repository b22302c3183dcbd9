/**
 * Where labs keep their files, and who owns them. Two roots: a short one for sockets and logs, and
 * one on a disk file system for the Engines' data. A lab is one directory of the same name in each.
 */
import { randomBytes } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statfsSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

/** Short, so that a socket's path inside stays below the 108 bytes of sun_path. */
export const RUN_ROOT = "/run/weft-lab";
/** The prefix of a lab's control groups, `weft-lab-<id>`. */
export const CGROUP_PREFIX = "weft-lab-";
/** In a lab's directory: the process that made it. */
export const OWNER_FILE = "owner.json";
/** In a machine's directory: the process that holds its namespaces. */
export const HOLDER_FILE = "holder.json";

/** The repository, from src/lab and dist/lab alike. */
export const REPOSITORY = new URL("../../", import.meta.url).pathname.replace(/\/$/, "");

const DATA_ROOTS = ["/var/lib/weft-lab", "/run/weft-lab-data", "/dev/shm/weft-lab"];
const OVERLAYFS_MAGIC = 0x794c7630;

/** Every root that may hold a lab's directory; a sweep looks at all of them. */
export const ALL_ROOTS: readonly string[] = [RUN_ROOT, ...DATA_ROOTS];

export interface LabPlaces {
  readonly id: string;
  readonly runDir: string;
  readonly dataDir: string;
}

/** Makes the directories of a new lab, owned by this process. */
export function makePlaces(): LabPlaces {
  const id = randomBytes(3).toString("hex");
  const runDir = makeOwned(RUN_ROOT, id);
  const dataDir = makeOwned(dataRoot(), id);
  return { id, runDir, dataDir };
}

/** A process that can be told from a later one of the same number by its start time. */
export interface ProcessMark {
  readonly pid: number;
  readonly startTime: string;
}

export function markOf(pid: number): ProcessMark {
  return { pid, startTime: startTimeOf(pid) ?? "" };
}

/** The mark in a file that the lab wrote; undefined when there is none. */
export function readMark(file: string): ProcessMark | undefined {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as ProcessMark;
  } catch {
    return undefined;
  }
}

/** The process that made a lab, or its half in one of the roots. */
export function ownerOf(labDir: string): ProcessMark | undefined {
  return readMark(join(labDir, OWNER_FILE));
}

export function isAlive({ pid, startTime }: ProcessMark): boolean {
  return startTimeOf(pid) === startTime;
}

/** Unique over reboots: boot id and clock ticks since boot (field 22 of its stat); undefined for a zombie too. */
function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const afterName = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (afterName[0] === "Z") return undefined;
    const bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    return `${bootId}/${afterName[19]}`;
  } catch {
    return undefined;
  }
}

/** The directory appears under its name with its owner inside, so that no sweep finds it ownerless. */
function makeOwned(root: string, id: string): string {
  const [path, fresh] = [join(root, id), join(root, `.new-${id}`)];
  mkdirSync(fresh, { recursive: true });
  writeFileSync(join(fresh, OWNER_FILE), JSON.stringify(markOf(process.pid)));
  renameSync(fresh, path);
  return path;
}

/** The Engine's overlay2 cannot lie on an overlay (a container's root is one). */
function dataRoot(): string {
  const usable = DATA_ROOTS.find((root) => {
    const parent = join(root, "..");
    return existsSync(parent) && statfsSync(parent).type !== OVERLAYFS_MAGIC;
  });
  return usable ?? "/var/lib/weft-lab";
}
