/**
 * Takes away what labs have left whose process is gone. Their processes went with it (see
 * namespaces.ts); what stays after a kill -9 is directories and control groups.
 */
import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../base/errors.ts";
import { labsWithCgroups, removeCgroups } from "./cgroup.ts";
import {
  ALL_ROOTS,
  HOLDER_FILE,
  isAlive,
  ownerOf,
  type ProcessMark,
  RUN_ROOT,
  readMark,
} from "./places.ts";
import { untilBlocking } from "./until.ts";

/** A directory without a readable owner is being made by another process, or a wreck when this old. */
const OWNERLESS_AGE_MS = 60_000;

/** Removes the leftovers of every dead lab; returns their ids. */
export function sweep(): string[] {
  const withDirs = new Set(ALL_ROOTS.flatMap(entriesOf));
  // Control groups alone may be a lab's of a container on this machine, whose directories are not ours.
  const withCgroupsOnly = [...labsWithCgroups()].filter(([id]) => !withDirs.has(id));
  const unused = withCgroupsOnly.filter(([, { inUse }]) => !inUse).map(([id]) => id);
  const dead = [...[...withDirs].filter(isDead), ...unused];
  return dead.filter(removed);
}

/** Removes one lab, blocking: what should still hold its namespaces, control groups, directories. */
export function removeLab(id: string): void {
  for (const holder of holdersOf(id)) endHolder(holder);
  removeCgroups(id);
  for (const root of ALL_ROOTS) {
    const options = { recursive: true, force: true, maxRetries: 10, retryDelay: 20 };
    rmSync(join(root, id), options);
  }
}

/** What cannot be removed is named and left: it must not keep new labs from being made. */
function removed(id: string): boolean {
  try {
    removeLab(id);
    return true;
  } catch (error) {
    process.stderr.write(`lab: leftovers of lab ${id} stay: ${messageOf(error)}\n`);
    return false;
  }
}

function isDead(id: string): boolean {
  const dirs = ALL_ROOTS.map((root) => join(root, id));
  const owners = dirs.map(ownerOf).filter((owner) => owner !== undefined);
  if (owners.length > 0) return !owners.some(isAlive);
  return dirs.every((dir) => Date.now() - changedAt(dir) > OWNERLESS_AGE_MS);
}

function holdersOf(id: string): ProcessMark[] {
  const lab = join(RUN_ROOT, id);
  const marks = entriesOf(lab).map((machine) => readMark(join(lab, machine, HOLDER_FILE)));
  return marks.filter((mark) => mark !== undefined);
}

function endHolder(holder: ProcessMark): void {
  if (!isAlive(holder)) return;
  process.kill(holder.pid, "SIGKILL");
  untilBlocking(() => !isAlive(holder), `process ${holder.pid} of a lab to end`);
}

function entriesOf(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}

/** Milliseconds since the epoch; 0 when there is no such directory. */
function changedAt(dir: string): number {
  return statSync(dir, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}
